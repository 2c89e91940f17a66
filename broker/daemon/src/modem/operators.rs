//! Scans for operators, their selection, and the technologies that may be used.
//!
//! Each may take minutes and take the modem off its network. So none begins during a call, one at a time is under way, and a
//! call that comes in ends a scan.

use cellular::arbitration::Activity;
use cellular::at::command::{self, PreferredMode};
use cellular::at::reply::{self, FoundOperator};
use cellular::qmi::nas::{self, RadioInterface};
use cellular::qmi::{ProtocolError, Refusal as QmiRefusal};
use tokio::sync::oneshot;

use super::serving::Serving;
use super::{Done, Reply, network};
use crate::port::at::{AtHandle, Lane};
use crate::port::qmi::QmiHandle;
use crate::refusal::Refusal;
use crate::resource::{AccessTechnology, NetworkStatus};

/// What is under way with the network: at most one of the three.
#[derive(Default)]
pub(super) struct Undertaking(Option<(Activity, &'static str, oneshot::Sender<Refusal>)>);

impl Undertaking {
    /// Begins one. It is over when the receiver is gone, and to be given up when that is told.
    fn begin(&mut self, activity: Activity, what: &'static str) -> oneshot::Receiver<Refusal> {
        let (stop, stopped) = oneshot::channel();
        self.0 = Some((activity, what, stop));
        stopped
    }

    /// What it is, and what people call it.
    pub(super) fn under_way(&self) -> Option<(Activity, &'static str)> {
        let (activity, what, stop) = self.0.as_ref()?;
        (!stop.is_closed()).then_some((*activity, *what))
    }
}

impl Serving<'_> {
    /// Scans. Whoever asked and does not wait any more ends it.
    pub(super) fn scan_operators(&mut self, mut reply: Reply<Vec<FoundOperator>>) {
        let stopped = self.undertaking.begin(Activity::Scan, "a scan for operators");
        let at = self.link.at.clone();
        self.start(async move {
            let outcome = tokio::select! {
                biased;
                () = reply.closed() => return Done::Answered,
                Ok(refusal) = stopped => Err(refusal),
                found = scan(&at) => found,
            };
            let _ = reply.send(outcome);
            Done::Answered
        });
    }

    /// Ends a scan; whoever waits for it hears why.
    pub(super) fn end_scan(&mut self, why: Refusal) {
        if let Some((_, _, stop)) = self.undertaking.0.take_if(|(activity, ..)| *activity == Activity::Scan) {
            // An error means that it is over.
            let _ = stop.send(why);
        }
    }

    pub(super) fn select_operator(
        &mut self,
        plmn: Option<String>,
        technology: Option<AccessTechnology>,
        reply: Reply<NetworkStatus>,
    ) {
        let under_way = self
            .undertaking
            .begin(Activity::NetworkChange, "a selection of an operator");
        let at = self.link.at.clone();
        self.start(async move {
            let _under_way = under_way;
            match select(&at, plmn.as_deref(), technology).await {
                Ok(()) => Done::Network(network::read(&at, Lane::Normal).await, Some(reply)),
                Err(refusal) => {
                    let _ = reply.send(Err(refusal));
                    Done::Answered
                }
            }
        });
    }

    pub(super) fn set_network_modes(&mut self, technologies: Vec<AccessTechnology>, reply: Reply<NetworkStatus>) {
        let under_way = self
            .undertaking
            .begin(Activity::NetworkChange, "a change of the technologies");
        let (at, qmi) = (self.link.at.clone(), self.data.qmi());
        self.start(async move {
            let _under_way = under_way;
            if let Err(refusal) = allow(qmi.as_ref(), &at, &technologies).await {
                let _ = reply.send(Err(refusal));
                return Done::Answered;
            }
            let mut reading = network::read(&at, Lane::Normal).await;
            if let Ok(reading) = &mut reading {
                reading.allowed_technologies = allowed(qmi.as_ref(), &at).await;
            }
            Done::Network(reading, Some(reply))
        });
    }
}

async fn scan(at: &AtHandle) -> Result<Vec<FoundOperator>, Refusal> {
    let response = at.execute(Lane::Normal, command::scan_operators()).await?;
    if !response.result.is_ok() {
        return Err(Refusal::refused("the scan (AT+COPS=?)", &response.result));
    }
    reply::operator_scan(&response.lines).map_err(|_| Refusal::ModemProtocol {
        line: response.lines.join(" "),
    })
}

/// A selection that fails leaves the modem without a network (27.007 7.3, `<mode>` 1), so it selects automatically again.
pub(super) async fn select(
    at: &AtHandle,
    plmn: Option<&str>,
    technology: Option<AccessTechnology>,
) -> Result<(), Refusal> {
    let automatic = async || at.execute(Lane::Normal, command::select_operator_automatically()).await;
    let Some(plmn) = plmn else {
        let response = automatic().await?;
        return match response.result.is_ok() {
            true => Ok(()),
            false => Err(Refusal::refused("automatic selection (AT+COPS=0)", &response.result)),
        };
    };
    let command = command::select_operator(plmn, technology.map(act_of)).map_err(|error| Refusal::FieldInvalid {
        field: "plmn",
        problem: error.to_string(),
    })?;
    let selected = at.execute(Lane::Normal, command).await;
    // The selection was by numbers, and the module names operators from then on as it was last addressed.
    let named = at.execute(Lane::Normal, command::operator_format_long()).await;
    if let Err(error) = named {
        tracing::debug!(%error, "the modem was not told to name operators by their names");
    }
    let refusal = match selected {
        Ok(response) if response.result.is_ok() => return Ok(()),
        Ok(response) => Refusal::refused(
            &format!("the operator {plmn}, and selects by itself again (AT+COPS=1)"),
            &response.result,
        ),
        Err(error) => error.into(),
    };
    if let Err(error) = automatic().await {
        tracing::warn!(%error, "could not make the modem select an operator by itself again; do it with: modemctl network select auto");
    }
    Err(refusal)
}

/// By QMI, which has an order; by `AT+CNMP`, which has none, where there is no QMI port or the firmware does not know it.
pub(super) async fn allow(
    qmi: Option<&QmiHandle>,
    at: &AtHandle,
    technologies: &[AccessTechnology],
) -> Result<(), Refusal> {
    const WHAT: &str = "Set System Selection Preference";
    if let Some(qmi) = qmi {
        let interfaces: Vec<_> = technologies
            .iter()
            .filter_map(|technology| interface_of(*technology))
            .collect();
        let response = qmi.ask(nas::set_system_selection_preference(&interfaces)).await;
        let response = response.map_err(|_| Refusal::ModemTimeout {
            command: WHAT.to_owned(),
        })?;
        match response.result() {
            Ok(()) => return Ok(()),
            Err(QmiRefusal::Protocol(ProtocolError::INVALID_QMI_COMMAND | ProtocolError::NOT_SUPPORTED)) => {}
            Err(QmiRefusal::Protocol(error)) => {
                return Err(Refusal::Refused {
                    what: WHAT.to_owned(),
                    kind: "QMI",
                    number: error.0.to_string(),
                    name: error.to_string(),
                });
            }
            Err(QmiRefusal::Unreadable(error)) => {
                return Err(Refusal::ModemProtocol {
                    line: error.to_string(),
                });
            }
        }
    }
    let response = at
        .execute(Lane::Normal, command::preferred_mode(preferred_mode(technologies)))
        .await?;
    match response.result.is_ok() {
        true => Ok(()),
        false => Err(Refusal::refused("AT+CNMP", &response.result)),
    }
}

/// The mode of `AT+CNMP` for technologies.
pub(super) fn preferred_mode(technologies: &[AccessTechnology]) -> PreferredMode {
    let has = |technology| technologies.contains(&technology);
    let mode = PreferredMode::of(
        has(AccessTechnology::Gsm),
        has(AccessTechnology::Umts),
        has(AccessTechnology::Lte),
    );
    match mode {
        None | Some(PreferredMode::GsmWcdmaLte) => PreferredMode::Automatic,
        Some(mode) => mode,
    }
}

/// Which technologies may be used; `None` when the modem does not tell.
pub(super) async fn allowed(qmi: Option<&QmiHandle>, at: &AtHandle) -> Option<Vec<AccessTechnology>> {
    if let Some(qmi) = qmi
        && let Ok(response) = qmi.ask(nas::get_system_selection_preference()).await
        && let Ok(interfaces) = nas::system_selection_preference(&response)
    {
        return Some(interfaces.into_iter().map(technology_of_interface).collect());
    }
    let response = at.execute(Lane::Normal, command::preferred_mode_query()).await.ok()?;
    allowed_by_mode(reply::setting(&response.lines, "+CNMP").ok()?)
}

/// Whether both allow the same, in whichever order.
pub(super) fn are_same(some: &[AccessTechnology], others: &[AccessTechnology]) -> bool {
    some.len() == others.len() && some.iter().all(|technology| others.contains(technology))
}

/// What a mode of `AT+CNMP` allows.
pub(super) fn allowed_by_mode(mode: u32) -> Option<Vec<AccessTechnology>> {
    let (gsm, umts, lte) = PreferredMode::allows(mode)?;
    let each = [
        (lte, AccessTechnology::Lte),
        (umts, AccessTechnology::Umts),
        (gsm, AccessTechnology::Gsm),
    ];
    Some(
        each.into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, technology)| technology)
            .collect(),
    )
}

/// What somebody set that may be why there is no network, with what to do.
pub(super) fn restriction(network: &NetworkStatus) -> Option<String> {
    let allowed = &network.allowed_technologies;
    if !allowed.is_empty() && allowed.len() < 3 {
        let names: Vec<String> = allowed
            .iter()
            .map(|technology| format!("{technology:?}").to_uppercase())
            .collect();
        let names = names.join(" and ");
        return Some(format!(
            "the modem may use {names} only; allow the others with: modemctl network modes all, or in [modem.network]"
        ));
    }
    (network.manual_selection == Some(true)).then(|| {
        "the operator is fixed; let the modem select with: modemctl network select auto, or without plmn in [modem.network]"
            .to_owned()
    })
}

/// The technology that an `<AcT>` (27.007 7.3) belongs to.
pub fn technology_of(act: reply::AccessTechnology) -> AccessTechnology {
    use reply::AccessTechnology as Act;
    match act {
        Act::Gsm | Act::GsmCompact | Act::GsmEgprs | Act::EcGsmIot => AccessTechnology::Gsm,
        Act::Utran | Act::UtranHsdpa | Act::UtranHsupa | Act::UtranHspa => AccessTechnology::Umts,
        // What a module without 5G calls so is an anchor in LTE.
        Act::EUtran | Act::EUtranNbIot | Act::EUtranFiveGc | Act::NrFiveGc | Act::NgRan | Act::EUtranNrDual => {
            AccessTechnology::Lte
        }
    }
}

fn act_of(technology: AccessTechnology) -> reply::AccessTechnology {
    match technology {
        AccessTechnology::NoService | AccessTechnology::Gsm => reply::AccessTechnology::Gsm,
        AccessTechnology::Umts => reply::AccessTechnology::Utran,
        AccessTechnology::Lte => reply::AccessTechnology::EUtran,
    }
}

fn interface_of(technology: AccessTechnology) -> Option<RadioInterface> {
    match technology {
        AccessTechnology::NoService => None,
        AccessTechnology::Gsm => Some(RadioInterface::Gsm),
        AccessTechnology::Umts => Some(RadioInterface::Umts),
        AccessTechnology::Lte => Some(RadioInterface::Lte),
    }
}

fn technology_of_interface(interface: RadioInterface) -> AccessTechnology {
    match interface {
        RadioInterface::Gsm => AccessTechnology::Gsm,
        RadioInterface::Umts => AccessTechnology::Umts,
        RadioInterface::Lte => AccessTechnology::Lte,
    }
}
