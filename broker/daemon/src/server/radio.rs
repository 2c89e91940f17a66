//! What is asked of QMI services on request: cells, statistics of the session, profiles, the services themselves.

use api::v1;
use cellular::qmi::cells::{self, Technology};
use cellular::qmi::profiles::{self, PdpType};
use cellular::qmi::wds::{self, Family, Statistics};
use cellular::qmi::{Request, Response, ctl, names};

use crate::modem::{self, ModemHandle};
use crate::refusal::Refusal;
use crate::resource::BearerState;

type Answers = Vec<Result<Response, Refusal>>;

async fn ask(modem: &ModemHandle, requests: Vec<Request>) -> Result<Answers, Refusal> {
    modem.ask(|reply| modem::Request::AskQmi { requests, reply }).await
}

async fn ask_one(modem: &ModemHandle, request: Request) -> Result<Response, Refusal> {
    let answers = ask(modem, vec![request]).await?;
    answers.into_iter().next().unwrap_or_else(|| {
        Err(Refusal::QmiNotAvailable {
            detail: "the modem gave no answer".to_owned(),
        })
    })
}

fn tenths(measure: impl Into<f64>) -> f64 {
    measure.into() / 10.0
}

/// Carriers and receivers are told by some firmware only, and nothing is missing without them.
pub(super) async fn cells(modem: &ModemHandle) -> Result<v1::GetCellsResponse, Refusal> {
    let answers = ask(
        modem,
        vec![cells::get_cell_location_info(), cells::get_lte_cphy_ca_info()],
    )
    .await?;
    let mut answers = answers.into_iter();
    let (heard, carriers) = (answers.next().transpose()?, answers.next().and_then(Result::ok));
    let heard = heard.unwrap_or_default();
    let heard =
        cells::cell_location_info(&heard).map_err(|refusal| modem::qmi_refused(refusal, "reading the cells"))?;
    let carriers = carriers.and_then(|carriers| cells::lte_cphy_ca_info(&carriers).ok());
    let serving = heard.iter().find(|cell| cell.serving).map(|cell| cell.technology);
    let radio = match serving {
        Some(technology) => ask_one(modem, cells::get_tx_rx_info(technology))
            .await
            .ok()
            .and_then(|radio| cells::tx_rx_info(&radio, technology).ok()),
        None => None,
    }
    .unwrap_or_default();
    Ok(v1::GetCellsResponse {
        cells: heard.iter().map(cell).collect(),
        carriers: carriers.unwrap_or_default().iter().map(carrier).collect(),
        receivers: radio
            .receivers
            .iter()
            .map(|receiver| v1::RadioReceiver {
                number: u32::from(receiver.number),
                power_dbm: tenths(receiver.power),
                reference_power_dbm: tenths(receiver.reference_power),
            })
            .collect(),
        transmitted_power_dbm: radio.transmitted_power.map(tenths),
    })
}

fn cell(cell: &cells::Cell) -> v1::Cell {
    let of = |technology, measure: Option<i16>| measure.filter(|_| cell.technology == technology).map(tenths);
    let technology = match cell.technology {
        Technology::Gsm => v1::AccessTechnology::Gsm,
        Technology::Umts => v1::AccessTechnology::Umts,
        Technology::Lte => v1::AccessTechnology::Lte,
    };
    v1::Cell {
        technology: technology.into(),
        serving: cell.serving,
        plmn: cell.plmn.clone().unwrap_or_default(),
        area_code: cell.area.map(u32::from),
        cell_id: cell.cell.map(u64::from),
        channel: Some(u32::from(cell.channel)),
        physical_cell_id: cell.physical.map(u32::from),
        rssi_dbm: cell.rssi.map(tenths),
        rsrp_dbm: of(Technology::Lte, cell.reference_power),
        rsrq_db: of(Technology::Lte, cell.reference_quality),
        rscp_dbm: of(Technology::Umts, cell.reference_power),
        ecio_db: of(Technology::Umts, cell.reference_quality),
        band: String::new(),
    }
}

fn carrier(carrier: &cells::Carrier) -> v1::ComponentCarrier {
    v1::ComponentCarrier {
        primary: carrier.primary,
        active: carrier.active,
        physical_cell_id: u32::from(carrier.physical),
        channel: u32::from(carrier.channel),
        band: carrier.band.map(u32::from),
        bandwidth_khz: carrier.bandwidth_khz,
    }
}

/// Sums over the families of the session.
pub(super) async fn statistics(modem: &ModemHandle) -> Result<v1::GetBearerStatisticsResponse, Refusal> {
    let bearer = modem.snapshot().bearer;
    if bearer.state != BearerState::Connected {
        return Err(Refusal::DataNotReady {
            detail: "there is no session; connect the bearer first".to_owned(),
        });
    }
    let has = |is_v6: bool| bearer.addresses.iter().any(|address| address.contains(':') == is_v6);
    let families = [(Family::V4, has(false)), (Family::V6, has(true))];
    let families = families.into_iter().filter(|(_, has)| *has);
    let requests = families.map(|(family, _)| wds::get_packet_statistics(family)).collect();
    let mut all = Vec::new();
    for answer in ask(modem, requests).await? {
        let read = wds::packet_statistics(&answer?);
        all.push(read.map_err(|refusal| modem::qmi_refused(refusal, "reading the statistics"))?);
    }
    let sum = |of: fn(&Statistics) -> Option<u32>| {
        let counts: Vec<u64> = all.iter().filter_map(of).map(u64::from).collect();
        (!counts.is_empty()).then(|| counts.iter().sum())
    };
    Ok(v1::GetBearerStatisticsResponse {
        downlink_bytes: all.iter().map(|moved| moved.downlink).sum(),
        uplink_bytes: all.iter().map(|moved| moved.uplink).sum(),
        downlink_packets: sum(|moved| moved.downlink_packets),
        uplink_packets: sum(|moved| moved.uplink_packets),
        downlink_errors: sum(|moved| moved.downlink_errors),
        uplink_errors: sum(|moved| moved.uplink_errors),
        downlink_dropped: sum(|moved| moved.downlink_dropped),
        uplink_dropped: sum(|moved| moved.uplink_dropped),
    })
}

pub(super) async fn profiles(modem: &ModemHandle) -> Result<Vec<v1::DataProfile>, Refusal> {
    let refused = |refusal| modem::qmi_refused(refusal, "reading the profiles");
    let list = ask_one(modem, profiles::get_profile_list()).await?;
    let mut indices = profiles::profile_list(&list).map_err(refused)?;
    indices.sort_unstable();
    let requests = indices.iter().map(|index| profiles::get_profile_settings(*index));
    let answers = ask(modem, requests.collect()).await?;
    let profile = |(index, answer): (u8, Result<Response, Refusal>)| {
        let read = profiles::profile_settings(&answer?).map_err(refused)?;
        Ok(v1::DataProfile {
            index: u32::from(index),
            name: read.name,
            pdp_type: match read.pdp_type {
                Some(PdpType::V4) => "IP",
                Some(PdpType::V6) => "IPV6",
                Some(PdpType::V4V6) => "IPV4V6",
                Some(PdpType::Other(_)) | None => "",
            }
            .to_owned(),
            apn: read.apn,
            user: read.user,
            roaming_disallowed: read.roaming_disallowed,
        })
    };
    indices.into_iter().zip(answers).map(profile).collect()
}

pub(super) async fn services(modem: &ModemHandle) -> Result<Vec<v1::QmiService>, Refusal> {
    let answer = ask_one(modem, ctl::get_version_info()).await?;
    let mut versions =
        ctl::version_info(&answer).map_err(|refusal| modem::qmi_refused(refusal, "reading the services"))?;
    versions.sort_unstable_by_key(|version| version.service);
    let service = |version: ctl::Version| v1::QmiService {
        service: u32::from(version.service.0),
        name: names::service_name(version.service).unwrap_or_default().to_owned(),
        major: u32::from(version.major),
        minor: u32::from(version.minor),
    };
    Ok(versions.into_iter().map(service).collect())
}

/// A request that somebody built, and the answer as it came.
pub(super) async fn execute(modem: &ModemHandle, request: Request) -> Result<v1::ExecuteQmiRequestResponse, Refusal> {
    let answer = ask_one(modem, request).await?;
    let error = match answer.result() {
        Ok(()) => None,
        Err(refusal) => match refusal.protocol() {
            Some(error) => Some(error),
            None => return Err(modem::qmi_refused(refusal, "reading the answer")),
        },
    };
    let tlvs = answer
        .tlvs
        .iter()
        .filter(|(kind, _)| *kind != cellular::qmi::tlv::RESULT);
    Ok(v1::ExecuteQmiRequestResponse {
        tlvs: tlvs
            .map(|(kind, value)| v1::QmiTlv {
                r#type: u32::from(kind),
                value: value.to_vec().into(),
            })
            .collect(),
        error: error.map(|error| u32::from(error.0)),
        error_name: error.and_then(|error| error.name()).unwrap_or_default().to_owned(),
    })
}
