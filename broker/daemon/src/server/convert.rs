//! The domain's values as messages of the contract, and filters back.

mod data;
mod wan;

use cellular::at::reply::{FoundOperator, OperatorAvailability};
use jiff::Timestamp;

use crate::modem::technology_of;
use crate::resource::{self, Change, ChangeKind};
use api::v1;

pub(super) use data::bearer;
pub(super) use wan::wan;

/// A time that is set. Where nothing happened yet there is none; 1970 would be taken for one.
pub(super) fn known_time(time: Timestamp) -> Option<prost_types::Timestamp> {
    (time != Timestamp::UNIX_EPOCH).then(|| timestamp(time))
}

/// A time.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // Floored, because the contract counts nanoseconds forward also before 1970.
    let nanoseconds = time.as_nanosecond();
    let (seconds, nanos) = (
        nanoseconds.div_euclid(1_000_000_000),
        nanoseconds.rem_euclid(1_000_000_000),
    );
    prost_types::Timestamp {
        seconds: seconds as i64,
        nanos: nanos as i32,
    }
}

/// An event.
pub(super) fn event(event: &resource::Event) -> v1::Event {
    use v1::event::Change as Wire;
    let modem = event.modem.as_str();
    let change = match &event.change {
        Change::Modem(status) => Wire::ModemChanged(self::modem(status)),
        Change::Sim(sim) => Wire::SimChanged(self::sim(modem, sim)),
        Change::Message(message) => Wire::MessageChanged(self::message(&message.told())),
        Change::Call(call) => Wire::CallChanged(self::call(call)),
        Change::Network(status) => Wire::NetworkChanged(network(modem, status)),
        Change::Ussd(session) => Wire::UssdChanged(ussd_session(session)),
        Change::Wan(status) => Wire::WanChanged(wan(status)),
        Change::Bearer(bearer) => Wire::BearerChanged(self::bearer(modem, bearer)),
        Change::Dtmf(dtmf) => Wire::DtmfReceived(v1::DtmfReceived {
            call_id: dtmf.call_id.clone(),
            tone: dtmf.tone.to_string(),
        }),
        Change::Deleted(deleted) => Wire::Deleted(self::deleted(deleted)),
    };
    v1::Event {
        sequence: event.sequence.0,
        event_time: Some(timestamp(event.time)),
        modem: modem.to_owned(),
        change: Some(change),
    }
}

fn deleted(deleted: &resource::Deleted) -> v1::ResourceDeleted {
    v1::ResourceDeleted {
        kind: match deleted.kind {
            resource::DeletedKind::Message => v1::EventKind::Message,
            resource::DeletedKind::Call => v1::EventKind::Call,
            resource::DeletedKind::Ussd => v1::EventKind::Ussd,
        }
        .into(),
        id: deleted.id.clone(),
        cause: match deleted.cause {
            resource::DeletionCause::Client => v1::DeletionCause::Client,
            resource::DeletionCause::Retention => v1::DeletionCause::Retention,
            resource::DeletionCause::Unreadable => v1::DeletionCause::Unreadable,
        }
        .into(),
    }
}

/// A kind of events; `None` for a kind that the contract has and this broker never makes.
pub(super) fn change_kind(kind: v1::EventKind) -> Option<ChangeKind> {
    match kind {
        v1::EventKind::Modem => Some(ChangeKind::Modem),
        v1::EventKind::Sim => Some(ChangeKind::Sim),
        v1::EventKind::Message => Some(ChangeKind::Message),
        v1::EventKind::Call => Some(ChangeKind::Call),
        v1::EventKind::Network => Some(ChangeKind::Network),
        v1::EventKind::Ussd => Some(ChangeKind::Ussd),
        v1::EventKind::Bearer => Some(ChangeKind::Bearer),
        v1::EventKind::Dtmf => Some(ChangeKind::Dtmf),
        v1::EventKind::Wan => Some(ChangeKind::Wan),
        v1::EventKind::Deleted => Some(ChangeKind::Deleted),
        v1::EventKind::Unspecified => None,
    }
}

/// A USSD session.
pub(super) fn ussd_session(session: &resource::UssdSession) -> v1::UssdSession {
    use resource::UssdEndCause as Cause;
    let end_cause = session
        .end_cause
        .map_or(v1::UssdEndCause::Unspecified, |cause| match cause {
            Cause::Answered => v1::UssdEndCause::Answered,
            Cause::Terminated => v1::UssdEndCause::Terminated,
            Cause::NotSupported => v1::UssdEndCause::NotSupported,
            Cause::NetworkTimeout => v1::UssdEndCause::NetworkTimeout,
            Cause::NoAnswer => v1::UssdEndCause::NoAnswer,
            Cause::NoReply => v1::UssdEndCause::NoReply,
            Cause::Cancelled => v1::UssdEndCause::Cancelled,
            Cause::Call => v1::UssdEndCause::Call,
            Cause::Refused => v1::UssdEndCause::Refused,
            Cause::Lost => v1::UssdEndCause::Lost,
            Cause::OtherClient => v1::UssdEndCause::OtherClient,
            Cause::Notification => v1::UssdEndCause::Notification,
        });
    v1::UssdSession {
        session_id: session.id.clone(),
        modem: session.modem.clone(),
        state: ussd_state(session.state).into(),
        text: session.text.clone(),
        end_detail: session.end_detail.clone(),
        start_time: Some(timestamp(session.start_time)),
        end_time: session.end_time.map(timestamp),
        end_cause: end_cause.into(),
        network_initiated: session.network_initiated,
    }
}

/// The state of a USSD session.
pub(super) fn ussd_state(state: resource::UssdState) -> v1::UssdState {
    match state {
        resource::UssdState::Waiting => v1::UssdState::Waiting,
        resource::UssdState::UserAction => v1::UssdState::UserAction,
        resource::UssdState::Ended => v1::UssdState::Ended,
    }
}

/// A modem.
pub(super) fn modem(status: &resource::ModemStatus) -> v1::Modem {
    v1::Modem {
        name: status.name.clone(),
        stage: stage(status.stage).into(),
        progress_percent: progress_percent(status.stage),
        stage_detail: status.stage_detail.clone(),
        stage_time: known_time(status.stage_time),
        health: match status.health {
            resource::Health::Ok => v1::ModemHealth::Ok,
            resource::Health::Degraded => v1::ModemHealth::Degraded,
            resource::Health::Failed => v1::ModemHealth::Failed,
        }
        .into(),
        health_reason: status.health_reason.clone(),
        manufacturer: status.manufacturer.clone(),
        model: status.model.clone(),
        revision: status.revision.clone(),
        imei: status.imei.clone(),
        ports: status.ports.iter().map(port).collect(),
        usb: (!status.usb_path.is_empty()).then(|| v1::UsbAttachment {
            composition: status.composition.clone(),
            path: status.usb_path.clone(),
        }),
        carrier: status.carrier.as_ref().map(carrier),
        degradations: status
            .degradations
            .iter()
            .map(|degradation| v1::Degradation {
                stage: stage(degradation.stage).into(),
                reason: degradation.reason.clone(),
            })
            .collect(),
    }
}

fn carrier(carrier: &resource::Carrier) -> v1::Carrier {
    v1::Carrier {
        name: carrier.name.clone(),
        country: carrier.country.clone(),
        plmn: carrier.plmn.clone(),
        data_apn: carrier.data_apn.clone(),
        ims_apn: carrier.ims_apn.clone(),
        source: match carrier.source {
            resource::CarrierSource::Configured => v1::CarrierSource::Configured,
            resource::CarrierSource::BuiltIn => v1::CarrierSource::BuiltIn,
            resource::CarrierSource::Package => v1::CarrierSource::Package,
            resource::CarrierSource::Fallback => v1::CarrierSource::Fallback,
        }
        .into(),
        service_provider_name: carrier.service_provider_name.clone(),
    }
}

/// A stage.
pub(super) fn stage(stage: resource::Stage) -> v1::ModemStage {
    match stage {
        resource::Stage::Absent => v1::ModemStage::Absent,
        resource::Stage::Enumerated => v1::ModemStage::Enumerated,
        resource::Stage::Probing => v1::ModemStage::Probing,
        resource::Stage::Identifying => v1::ModemStage::Identifying,
        resource::Stage::Sim => v1::ModemStage::Sim,
        resource::Stage::Carrier => v1::ModemStage::Carrier,
        resource::Stage::Contexts => v1::ModemStage::Contexts,
        resource::Stage::Configuring => v1::ModemStage::Configuring,
        resource::Stage::Registering => v1::ModemStage::Registering,
        resource::Stage::Volte => v1::ModemStage::Volte,
        resource::Stage::Sms => v1::ModemStage::Sms,
        resource::Stage::Voice => v1::ModemStage::Voice,
        resource::Stage::Data => v1::ModemStage::Data,
        resource::Stage::Ready => v1::ModemStage::Ready,
    }
}

/// Passed stages in percent of all.
fn progress_percent(stage: resource::Stage) -> u32 {
    stage as u32 * 100 / resource::Stage::Ready as u32
}

/// A port.
pub(super) fn port(port: &resource::Port) -> v1::Port {
    v1::Port {
        role: port_role(port.role).into(),
        state: match port.state {
            resource::PortState::Unused => v1::PortState::Unused,
            resource::PortState::Missing => v1::PortState::Missing,
            resource::PortState::Held => v1::PortState::Held,
            resource::PortState::Open => v1::PortState::Open,
            resource::PortState::Silent => v1::PortState::Silent,
            resource::PortState::Failed => v1::PortState::Failed,
        }
        .into(),
        path: port.path.clone(),
        detail: port.detail.clone(),
        state_time: known_time(port.state_time),
    }
}

/// State of a SIM.
pub(super) fn sim_state(state: resource::SimState) -> v1::SimState {
    match state {
        resource::SimState::Unknown => v1::SimState::Unknown,
        resource::SimState::Absent => v1::SimState::Absent,
        resource::SimState::Busy => v1::SimState::Busy,
        resource::SimState::PinRequired => v1::SimState::PinRequired,
        resource::SimState::PukRequired => v1::SimState::PukRequired,
        resource::SimState::Ready => v1::SimState::Ready,
        resource::SimState::Failed => v1::SimState::Failed,
    }
}

/// What a port is for.
pub(super) fn port_role(role: resource::PortRole) -> v1::PortRole {
    match role {
        resource::PortRole::Diagnostics => v1::PortRole::Diagnostics,
        resource::PortRole::Nmea => v1::PortRole::Nmea,
        resource::PortRole::At => v1::PortRole::At,
        resource::PortRole::AtCalls => v1::PortRole::AtCalls,
        resource::PortRole::Audio => v1::PortRole::Audio,
        resource::PortRole::Qmi => v1::PortRole::Qmi,
        resource::PortRole::Mbim => v1::PortRole::Mbim,
        resource::PortRole::Ppp => v1::PortRole::Ppp,
    }
}

/// A SIM.
pub(super) fn sim(modem: &str, sim: &resource::Sim) -> v1::Sim {
    v1::Sim {
        modem: modem.to_owned(),
        state: sim_state(sim.state).into(),
        iccid: sim.iccid.clone(),
        imsi: sim.imsi.clone(),
        home_plmn: sim.home_plmn.clone(),
        own_numbers: sim.own_numbers.clone(),
        pin_attempts_left: sim.pin_attempts_left,
        puk_attempts_left: sim.puk_attempts_left,
        pin_lock_enabled: sim.pin_lock_enabled,
    }
}

/// How characters are coded.
pub(super) fn message_coding(coding: resource::MessageCoding) -> v1::MessageCoding {
    match coding {
        resource::MessageCoding::Gsm7 => v1::MessageCoding::Gsm7,
        resource::MessageCoding::Data => v1::MessageCoding::Data,
        resource::MessageCoding::Ucs2 => v1::MessageCoding::Ucs2,
    }
}

/// A message.
pub(super) fn message(message: &resource::Message) -> v1::Message {
    let coding = message.coding.map_or(v1::MessageCoding::Unspecified, message_coding);
    let incoming = message.direction == resource::MessageDirection::Incoming;
    let service_centre_time = message.service_centre_time.map(timestamp);
    v1::Message {
        message_id: message.id.clone(),
        modem: message.modem.clone(),
        direction: match message.direction {
            resource::MessageDirection::Incoming => v1::MessageDirection::Incoming,
            resource::MessageDirection::Outgoing => v1::MessageDirection::Outgoing,
        }
        .into(),
        state: stored_message_state(message.state).into(),
        address: message.address.clone(),
        text: message.text.clone(),
        data: message.data.clone().into(),
        coding: coding.into(),
        part_count: message.part_count,
        parts_done: message.parts_done,
        create_time: Some(timestamp(message.create_time)),
        update_time: Some(timestamp(message.update_time)),
        service_centre_time: service_centre_time.filter(|_| incoming),
        report_time: service_centre_time.filter(|_| !incoming),
        message_references: message.message_references.iter().copied().map(u32::from).collect(),
        failure: message.failure.clone(),
        request_id: message.request_id.clone().unwrap_or_default(),
        message_class: message.message_class.map(u32::from),
        pdus: message.pdus.clone(),
        delivery_report_requested: message.delivery_report_requested,
        missing_parts: message.missing_parts.iter().copied().map(u32::from).collect(),
        protocol_identifier: message.protocol_identifier.into(),
        replaced_by: message.replaced_by.clone().unwrap_or_default(),
        message_waiting: message.message_waiting.map(message_waiting),
        application_ports: message.application_ports.map(|ports| v1::ApplicationPorts {
            destination: ports.destination.into(),
            originator: ports.originator.into(),
        }),
        information_elements: message
            .information_elements
            .iter()
            .map(|element| v1::InformationElement {
                identifier: element.identifier.into(),
                value: element.value.clone().into(),
            })
            .collect(),
        priority: priority(message).into(),
        send_time: message.send_time.map(timestamp),
        expire_time: message.expire_time.map(timestamp),
        client: message.client.clone(),
        conversation: message.conversation.clone(),
        read_time: message.read_time.map(timestamp),
        iccid: message.iccid.clone(),
    }
}

fn message_waiting(waiting: resource::MessageWaiting) -> v1::MessageWaiting {
    v1::MessageWaiting {
        kind: match waiting.kind {
            resource::WaitingKind::Voicemail => v1::WaitingKind::Voicemail,
            resource::WaitingKind::Fax => v1::WaitingKind::Fax,
            resource::WaitingKind::Email => v1::WaitingKind::Email,
            resource::WaitingKind::Other => v1::WaitingKind::Other,
        }
        .into(),
        active: waiting.active,
        store: waiting.store,
        count: waiting.count.map(u32::from),
    }
}

fn priority(message: &resource::Message) -> v1::MessagePriority {
    match (message.direction, message.priority) {
        (resource::MessageDirection::Incoming, _) => v1::MessagePriority::Unspecified,
        (_, resource::Priority::Low) => v1::MessagePriority::Low,
        (_, resource::Priority::Normal) => v1::MessagePriority::Normal,
        (_, resource::Priority::High) => v1::MessagePriority::High,
    }
}

/// A message's state.
pub(super) fn stored_message_state(state: resource::MessageState) -> v1::MessageState {
    match state {
        resource::MessageState::Queued => v1::MessageState::Queued,
        resource::MessageState::Sending => v1::MessageState::Sending,
        resource::MessageState::Sent => v1::MessageState::Sent,
        resource::MessageState::Delivered => v1::MessageState::Delivered,
        resource::MessageState::Failed => v1::MessageState::Failed,
        resource::MessageState::OutcomeUnknown => v1::MessageState::OutcomeUnknown,
        resource::MessageState::Cancelled => v1::MessageState::Cancelled,
        resource::MessageState::Received => v1::MessageState::Received,
        resource::MessageState::Incomplete => v1::MessageState::Incomplete,
        resource::MessageState::Raw => v1::MessageState::Raw,
    }
}

/// A state to filter by.
pub(super) fn message_state(state: v1::MessageState) -> Option<resource::MessageState> {
    match state {
        v1::MessageState::Unspecified => None,
        v1::MessageState::Queued => Some(resource::MessageState::Queued),
        v1::MessageState::Sending => Some(resource::MessageState::Sending),
        v1::MessageState::Sent => Some(resource::MessageState::Sent),
        v1::MessageState::Delivered => Some(resource::MessageState::Delivered),
        v1::MessageState::Failed => Some(resource::MessageState::Failed),
        v1::MessageState::OutcomeUnknown => Some(resource::MessageState::OutcomeUnknown),
        v1::MessageState::Cancelled => Some(resource::MessageState::Cancelled),
        v1::MessageState::Received => Some(resource::MessageState::Received),
        v1::MessageState::Incomplete => Some(resource::MessageState::Incomplete),
        v1::MessageState::Raw => Some(resource::MessageState::Raw),
    }
}

/// A direction to filter by.
pub(super) fn message_direction(direction: v1::MessageDirection) -> Option<resource::MessageDirection> {
    match direction {
        v1::MessageDirection::Unspecified => None,
        v1::MessageDirection::Incoming => Some(resource::MessageDirection::Incoming),
        v1::MessageDirection::Outgoing => Some(resource::MessageDirection::Outgoing),
    }
}

/// A call.
pub(super) fn call(call: &resource::Call) -> v1::Call {
    v1::Call {
        call_id: call.id.clone(),
        modem: call.modem.clone(),
        direction: match call.direction {
            resource::CallDirection::Incoming => v1::CallDirection::Incoming,
            resource::CallDirection::Outgoing => v1::CallDirection::Outgoing,
        }
        .into(),
        state: call_state(call.state).into(),
        number: call.number.clone(),
        start_time: Some(timestamp(call.start_time)),
        answer_time: call.answer_time.map(timestamp),
        end_time: call.end_time.map(timestamp),
        end_cause: call
            .end_cause
            .map_or(v1::CallEndCause::Unspecified, call_end_cause)
            .into(),
        end_detail: call.end_detail.clone(),
        rings: call.rings,
        audio: match call.audio {
            resource::CallAudio::Off => v1::CallAudioState::Off,
            resource::CallAudio::On => v1::CallAudioState::On,
            resource::CallAudio::Degraded => v1::CallAudioState::Degraded,
            resource::CallAudio::Failed => v1::CallAudioState::Failed,
        }
        .into(),
        request_id: call.request_id.clone().unwrap_or_default(),
        audio_statistics: call.audio_statistics.as_ref().map(audio_statistics),
        caller_name: call.caller_name.clone(),
        number_withheld: call.number_withheld,
        downlink_problem: audio_problem(call.downlink_problem).into(),
        uplink_problem: audio_problem(call.uplink_problem).into(),
        recording: call.recording,
        recording_file: call.recording_file.clone(),
    }
}

fn audio_problem(problem: resource::AudioProblem) -> v1::AudioProblem {
    match problem {
        resource::AudioProblem::None => v1::AudioProblem::Unspecified,
        resource::AudioProblem::NoAudio => v1::AudioProblem::NoAudio,
        resource::AudioProblem::DigitalSilence => v1::AudioProblem::DigitalSilence,
        resource::AudioProblem::NotTaken => v1::AudioProblem::NotTaken,
        resource::AudioProblem::WrongRate => v1::AudioProblem::WrongRate,
    }
}

/// A call forwarding.
pub(super) fn call_forwarding(forwarding: &resource::Forwarding) -> v1::CallForwarding {
    v1::CallForwarding {
        reason: match forwarding.reason {
            resource::ForwardingReason::Unconditional => v1::CallForwardingReason::Unconditional,
            resource::ForwardingReason::Busy => v1::CallForwardingReason::Busy,
            resource::ForwardingReason::NoReply => v1::CallForwardingReason::NoReply,
            resource::ForwardingReason::NotReachable => v1::CallForwardingReason::NotReachable,
        }
        .into(),
        enabled: forwarding.enabled,
        number: forwarding.number.clone(),
        no_reply_seconds: forwarding.no_reply_s.map_or(0, u32::from),
        classes: forwarding.classes.into(),
    }
}

/// A call's state.
pub(super) fn call_state(state: resource::CallState) -> v1::CallState {
    match state {
        resource::CallState::Active => v1::CallState::Active,
        resource::CallState::Held => v1::CallState::Held,
        resource::CallState::Dialing => v1::CallState::Dialing,
        resource::CallState::Alerting => v1::CallState::Alerting,
        resource::CallState::Incoming => v1::CallState::Incoming,
        resource::CallState::Waiting => v1::CallState::Waiting,
        resource::CallState::Disconnected => v1::CallState::Disconnected,
    }
}

fn call_end_cause(cause: resource::CallEndCause) -> v1::CallEndCause {
    match cause {
        resource::CallEndCause::Local => v1::CallEndCause::Local,
        resource::CallEndCause::Remote => v1::CallEndCause::Remote,
        resource::CallEndCause::Busy => v1::CallEndCause::Busy,
        resource::CallEndCause::NoAnswer => v1::CallEndCause::NoAnswer,
        resource::CallEndCause::Missed => v1::CallEndCause::Missed,
        resource::CallEndCause::Rejected => v1::CallEndCause::Rejected,
        resource::CallEndCause::NotConnected => v1::CallEndCause::NotConnected,
        resource::CallEndCause::Lost => v1::CallEndCause::Lost,
        resource::CallEndCause::Abandoned => v1::CallEndCause::Abandoned,
    }
}

/// Counters of a call's audio.
pub(super) fn audio_statistics(statistics: &resource::AudioStatistics) -> v1::AudioStatistics {
    v1::AudioStatistics {
        downlink_samples: statistics.downlink_samples,
        uplink_samples: statistics.uplink_samples,
        downlink_frames: statistics.downlink_frames,
        uplink_frames: statistics.uplink_frames,
        uplink_silence_frames: statistics.uplink_silence_frames,
        uplink_underruns: statistics.uplink_underruns,
        downlink_dropped_samples: statistics.downlink_dropped_samples,
        uplink_dropped_samples: statistics.uplink_dropped_samples,
        downlink_discontinuities: statistics.downlink_discontinuities,
        uplink_queued_ms: statistics.uplink_queued_ms,
        pcm_open_attempts: statistics.pcm_open_attempts,
        uplink_write_stalls: statistics.uplink_write_stalls,
        uplink_partial_writes: statistics.uplink_partial_writes,
        uplink_underrun_ms: statistics.uplink_underrun_ms,
        uplink_drift_dropped_frames: statistics.uplink_drift_dropped_frames,
        uplink_drift_inserted_frames: statistics.uplink_drift_inserted_frames,
        downlink_short_reads: statistics.downlink_short_reads,
        downlink_gap_max_ms: statistics.downlink_gap_max_ms,
        downlink_byte_slips: statistics.downlink_byte_slips,
        downlink_rate_ppm: statistics.downlink_rate_ppm,
        downlink_clipped_ppm: statistics.downlink_clipped_ppm,
        uplink_clipped_ppm: statistics.uplink_clipped_ppm,
        downlink_rms_dbov: statistics.downlink_rms_dbov,
        uplink_rms_dbov: statistics.uplink_rms_dbov,
        pacing_lateness_max_us: statistics.pacing_lateness_max_us,
        clear_latency_us: statistics.clear_latency_us,
        driver_queue_max_bytes: statistics.driver_queue_max_bytes,
        listener_dropped_frames: statistics.listener_dropped_frames,
    }
}

/// The network.
pub(super) fn network(modem: &str, status: &resource::NetworkStatus) -> v1::NetworkStatus {
    v1::NetworkStatus {
        modem: modem.to_owned(),
        circuit_switched: registration(status.circuit_switched).into(),
        packet_switched: registration(status.packet_switched).into(),
        evolved_packet: registration(status.evolved_packet).into(),
        registered: status.is_registered(),
        roaming: status.is_roaming(),
        operator_name: status.operator_name.clone(),
        operator_plmn: status.operator_plmn.clone(),
        technology: access_technology(status.technology).into(),
        cell: (status.cell != resource::Cell::default()).then(|| v1::Cell {
            technology: access_technology(status.technology).into(),
            serving: true,
            area_code: status.cell.area_code,
            cell_id: status.cell.cell_id,
            band: status.cell.band.clone(),
            channel: status.cell.channel,
            ..v1::Cell::default()
        }),
        signal: Some(signal(&status.signal)),
        update_time: known_time(status.update_time),
        ims: Some(data::ims(&status.ims)),
        manual_selection: status.manual_selection,
        allowed_technologies: status
            .allowed_technologies
            .iter()
            .map(|technology| access_technology(Some(*technology)).into())
            .collect(),
    }
}

fn access_technology(technology: Option<resource::AccessTechnology>) -> v1::AccessTechnology {
    technology.map_or(v1::AccessTechnology::Unspecified, |technology| match technology {
        resource::AccessTechnology::NoService => v1::AccessTechnology::NoService,
        resource::AccessTechnology::Gsm => v1::AccessTechnology::Gsm,
        resource::AccessTechnology::Umts => v1::AccessTechnology::Umts,
        resource::AccessTechnology::Lte => v1::AccessTechnology::Lte,
    })
}

/// An operator that a scan found.
pub(super) fn found_operator(found: &FoundOperator) -> v1::FoundOperator {
    let availability = match found.availability {
        OperatorAvailability::Unknown => v1::OperatorAvailability::Unknown,
        OperatorAvailability::Available => v1::OperatorAvailability::Available,
        OperatorAvailability::Current => v1::OperatorAvailability::Current,
        OperatorAvailability::Forbidden => v1::OperatorAvailability::Forbidden,
    };
    let name = found.long_name.clone().or_else(|| found.short_name.clone());
    v1::FoundOperator {
        name: name.unwrap_or_default(),
        plmn: found.plmn.clone(),
        availability: availability.into(),
        technology: access_technology(found.access_technology.map(technology_of)).into(),
    }
}

fn registration(state: Option<resource::RegistrationState>) -> v1::RegistrationState {
    state.map_or(v1::RegistrationState::Unspecified, |state| match state {
        resource::RegistrationState::NotRegistered => v1::RegistrationState::NotRegistered,
        resource::RegistrationState::Home => v1::RegistrationState::Home,
        resource::RegistrationState::Searching => v1::RegistrationState::Searching,
        resource::RegistrationState::Denied => v1::RegistrationState::Denied,
        resource::RegistrationState::Unknown => v1::RegistrationState::Unknown,
        resource::RegistrationState::Roaming => v1::RegistrationState::Roaming,
    })
}

/// Signal measures.
pub(super) fn signal(signal: &resource::Signal) -> v1::Signal {
    v1::Signal {
        rssi_dbm: signal.rssi_dbm,
        rsrp_dbm: signal.rsrp_dbm,
        rsrq_db: signal.rsrq_db,
        sinr_db: signal.sinr_db,
        quality_percent: quality_percent(signal),
        measure_time: known_time(signal.time),
    }
}

/// Where a bar is empty and where it is full. RSRP is preferred: RSSI also measures what disturbs.
const RSRP_RANGE_DBM: (f64, f64) = (-120.0, -80.0);
/// The range of `+CSQ` (27.007 8.5).
const RSSI_RANGE_DBM: (f64, f64) = (-113.0, -51.0);

fn quality_percent(signal: &resource::Signal) -> u32 {
    let share = |value: f64, (empty, full): (f64, f64)| (value - empty) / (full - empty);
    let quality = match (signal.rsrp_dbm, signal.rssi_dbm) {
        (Some(rsrp), _) => share(rsrp, RSRP_RANGE_DBM),
        (None, Some(rssi)) => share(rssi, RSSI_RANGE_DBM),
        (None, None) => 0.0,
    };
    (quality.clamp(0.0, 1.0) * 100.0).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_is_bounded_and_prefers_rsrp() {
        for (rsrp_dbm, rssi_dbm, expected) in [
            (None, None, 0),
            (Some(-80.0), Some(-113.0), 100),
            (Some(-100.0), None, 50),
            (Some(-140.0), None, 0),
            (Some(-40.0), None, 100),
            (None, Some(-82.0), 50),
            (Some(f64::NAN), None, 0),
        ] {
            let signal = resource::Signal {
                rsrp_dbm,
                rssi_dbm,
                ..Default::default()
            };
            assert_eq!(quality_percent(&signal), expected, "{rsrp_dbm:?} {rssi_dbm:?}");
        }
    }

    #[test]
    fn times_before_1970_keep_their_nanoseconds_positive() {
        let time = Timestamp::new(-1, -500_000_000).unwrap();
        assert_eq!(
            timestamp(time),
            prost_types::Timestamp {
                seconds: -2,
                nanos: 500_000_000
            }
        );
    }

    #[test]
    fn progress_goes_from_nothing_to_everything() {
        assert_eq!(progress_percent(resource::Stage::Absent), 0);
        assert_eq!(progress_percent(resource::Stage::Carrier), 38);
        assert_eq!(progress_percent(resource::Stage::Ready), 100);
    }

    #[test]
    fn every_state_of_a_message_can_be_filtered_by() {
        for number in 1..=10 {
            let written = v1::MessageState::try_from(number).unwrap();
            let meant = message_state(written).expect("a state");
            assert_eq!(stored_message_state(meant), written);
        }
    }
}
