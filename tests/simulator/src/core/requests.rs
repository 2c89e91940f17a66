//! Requests from outside: what other people, the network and the cable do.

use std::time::Instant;

use super::books::DataCallEnd;
use super::faults::Trigger;
use super::schedule::{Action, CallStep, Return};
use super::usb::Function;
use super::{Cure, Modem, Refused};
use crate::control::{Domain, Request, Response, Status};

impl Modem {
    /// Carries a request out. Requests about the transcript belong to the surroundings and are refused.
    pub fn handle_control(&mut self, now: Instant, request: Request) -> Result<Response, Refused> {
        self.now = now;
        self.run_due();
        let response = self.request(request);
        self.run_due();
        response
    }

    fn request(&mut self, request: Request) -> Result<Response, Refused> {
        match request {
            Request::DeliverText { from, text, flash } => {
                return self
                    .deliver_text(&from, &text, flash)
                    .map(|ids| Response::Messages { ids });
            }
            Request::DeliverPdu { pdu } => return self.deliver_pdu(&pdu).map(|ids| Response::Messages { ids }),
            Request::Ring(options) => return self.ring(options).map(|id| Response::Call { id }),
            Request::Alert => self.progress_outgoing(CallStep::Alert)?,
            Request::Answer => self.progress_outgoing(CallStep::Answer)?,
            Request::Refuse { cause } => self.refuse_outgoing(cause)?,
            Request::HangUp => {
                let id = self.calls.first().map(|call| call.id);
                let id = id.ok_or_else(|| Refused("there is no call".to_owned()))?;
                self.remote_hang_up(id);
            }
            Request::Dtmf { digits, way } => self.remote_tones(&digits, way)?,
            Request::SetOutgoing { number, policy } => self.telephony.set_policy(number, policy),
            Request::SetSignal(signal) => self.set_signal(signal),
            Request::SetRegistration { domain, state } => self.set_registration(domain, state),
            Request::SetOperator { name, plmn } => {
                if !(5..=6).contains(&plmn.len()) || !plmn.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(Refused("a PLMN has five or six digits".to_owned()));
                }
                self.network.operator = name;
                self.network.plmn = plmn;
            }
            Request::SetSim { state } => self.set_sim(state),
            Request::SetSimPower { on } => self.set_sim_power(on),
            Request::ExchangeSim(card) => self.exchange_sim(card),
            Request::SetCapacity { storage, capacity } => {
                self.messages.set_capacity(&storage, capacity)?;
                self.schedule_delivery();
            }
            Request::Ussd { text, mode } => self.ussd_text(&text, mode),
            Request::SetReports { status } => self.messages.report_status = status,
            Request::Execute { line } => self.foreign_command(&line)?,
            Request::SetPosition { position } => self.location.position = position,
            Request::Nmea { line } => self.emit(Function::Nmea, format!("{line}\r\n").as_bytes()),
            Request::Unsolicited { line } => self.unsolicited(&line),
            Request::Inject { fault } => match fault.trigger {
                Trigger::Now => self.strike(None, fault.action),
                Trigger::OnCommand { .. } => self.script.add(fault),
            },
            Request::Faults => {
                return Ok(Response::Faults {
                    faults: self.script.pending(),
                });
            }
            Request::ClearFaults => self.script.clear(),
            Request::SetPacketNetwork(packet) => self.packet = packet,
            Request::Lease { packet } => {
                return Ok(Response::Packet {
                    packet: self.lease(&packet),
                });
            }
            Request::Solicit => {
                return Ok(Response::Packet {
                    packet: self.solicited(),
                });
            }
            Request::EndSessions { layer, number } => {
                self.network_ends_sessions((layer, number));
                self.network_ends_mbim_session((layer, number));
                self.terminate_data_call(DataCallEnd::Network { layer, number });
            }
            Request::SetIms { registration } => {
                self.ims_granted = registration;
                self.ims_changed();
            }
            Request::Unplug => self.leave(None),
            Request::Replug { renumber } => {
                self.renumber = renumber;
                if !self.attached {
                    self.schedule.at(self.now, Action::Arrive);
                }
            }
            Request::PowerCycle => {
                if self.attached {
                    self.leave(None);
                }
                self.hangs.cure(Cure::Power);
                let after = self.random.within(self.delays.reset);
                self.schedule.at(self.now + after, Action::Arrive);
            }
            Request::SwitchMode => {
                self.next_composition = self.config.composition;
                self.leave(Some(Return::Enumeration));
            }
            Request::Books => {
                return Ok(Response::Books {
                    books: Box::new(self.books.clone()),
                });
            }
            Request::Status => {
                return Ok(Response::Status {
                    status: Box::new(self.status()),
                });
            }
            Request::Transcript { .. } => return Err(Refused("no transcript is kept here".to_owned())),
        }
        Ok(Response::Done)
    }

    /// State at a glance.
    pub fn status(&self) -> Status {
        Status {
            at_ms: self.elapsed_ms(),
            attached: self.attached,
            composition: format!("{:04X}", self.composition.0),
            imei: self.config.imei.clone(),
            sim: self.sim.state,
            functionality: self.general.functionality,
            registration: [Domain::Cs, Domain::Ps, Domain::Eps].map(|domain| self.registration(domain)),
            operator: self.network.operator.clone(),
            plmn: self.network.plmn.clone(),
            rssi: self.network.rssi,
            calls: self
                .calls
                .iter()
                .map(|call| format!("{} {} {:?}", call.id, call.number, call.state).to_lowercase())
                .collect(),
            storages: self
                .messages
                .storages
                .iter()
                .map(|storage| (storage.name.to_owned(), storage.slots.len(), storage.capacity))
                .collect(),
            waiting_messages: self.messages.waiting.len(),
            audio: self.pcm.flowing.is_some(),
            sessions: [
                self.session_addresses(),
                self.mbim_session_addresses(),
                self.data_call_addresses(),
            ]
            .concat(),
            data_call: self.data_call.as_ref().map(super::ppp::DataCall::shown),
            qmi_listeners: self.qmi_listeners(),
            faults: self.script.pending().len(),
        }
    }
}
