//! The cell: registration, operator, radio conditions, packet contexts (27.007 clauses 7 and 10).

use std::collections::BTreeMap;

use super::line::{Command, Form};
use super::reply::{Outcome, Reply};
use super::schedule::{Action, Effect};
use super::{Config, Modem};
use crate::control::{Domain, RegistrationState, Signal};

/// Tracking area and cell that the module shows; any will do.
const AREA: &str = "B0F5";
const CELL: &str = "00C919E4";

/// 27.007 `<AcT>` for E-UTRAN.
const E_UTRAN: u8 = 7;

const DOMAINS: [(&str, Domain); 3] = [("+CREG", Domain::Cs), ("+CGREG", Domain::Ps), ("+CEREG", Domain::Eps)];

/// The network and the module's view of it.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    /// What the network grants, by domain.
    granted: [RegistrationState; 3],
    /// The registration procedure is over.
    registered: bool,
    generation: u64,
    announced: [RegistrationState; 3],
    pub(crate) operator: String,
    pub(crate) plmn: String,
    pub(crate) rssi: u8,
    rsrp: i16,
    rsrq: i16,
    snr: i16,
    pub(crate) contexts: BTreeMap<u32, (String, String)>,
    /// Authentication, user and password of the contexts that have them.
    authentications: BTreeMap<u32, (u32, String, String)>,
    active: Vec<u32>,
    attached: bool,
    selection: u32,
    operator_format: u32,
}

impl Network {
    pub(crate) fn new(config: &Config) -> Self {
        // A fresh SIM7600G-H has these three contexts; the second is the one VoLTE follows.
        let contexts = [(1, "IP", ""), (2, "IPV4V6", "ims"), (3, "IPV4V6", "")];
        Self {
            granted: [RegistrationState::Home; 3],
            registered: false,
            generation: 0,
            announced: [RegistrationState::None; 3],
            operator: config.operator.clone(),
            plmn: config.plmn.clone(),
            rssi: 21,
            rsrp: -95,
            rsrq: -10,
            snr: 12,
            contexts: contexts
                .map(|(cid, kind, apn)| (cid, (kind.to_owned(), apn.to_owned())))
                .into(),
            authentications: BTreeMap::new(),
            active: Vec::new(),
            attached: true,
            selection: 0,
            operator_format: 0,
        }
    }

    /// Whether somebody chose the operator.
    pub(crate) fn is_selected_by_hand(&self) -> bool {
        self.selection == 1
    }

    /// Authentication, user and password of a context: PAP 1, CHAP 2, either 3.
    pub(crate) fn authentication(&self, context: u32) -> Option<(u32, String, String)> {
        self.authentications.get(&context).cloned()
    }

    pub(crate) fn set_active(&mut self, context: u32, active: bool) {
        self.active.retain(|each| *each != context);
        if active {
            self.active.push(context);
        }
    }

    pub(crate) fn power_down(&mut self) {
        self.registered = false;
        self.generation += 1;
        self.announced = [RegistrationState::None; 3];
        self.active.clear();
        self.selection = 0;
        self.operator_format = 0;
    }
}

impl Modem {
    fn may_register(&self) -> bool {
        let deregistered = self.network.selection == 2;
        self.attached && self.general.functionality == 1 && self.sim.is_ready() && !deregistered
    }

    /// What the module shows for a domain at this moment.
    pub(super) fn registration(&self, domain: Domain) -> RegistrationState {
        if !self.may_register() {
            RegistrationState::None
        } else if !self.network.registered {
            RegistrationState::Searching
        } else {
            self.network.granted[domain as usize]
        }
    }

    /// Whether the network serves the modem at all (calls and short messages follow EPS or CS).
    pub(super) fn is_served(&self) -> bool {
        [Domain::Cs, Domain::Eps]
            .into_iter()
            .any(|domain| self.registration(domain).is_registered())
    }

    pub(super) fn set_registration(&mut self, domain: Option<Domain>, state: RegistrationState) {
        let was_served = self.is_served();
        for (_, each) in DOMAINS {
            if domain.is_none_or(|only| only == each) {
                self.network.granted[each as usize] = state;
            }
        }
        self.announce_registration();
        if was_served && !self.is_served() {
            self.end_all_calls("no service");
        }
        if self.is_served() {
            self.schedule_delivery();
        }
    }

    pub(super) fn set_signal(&mut self, signal: Signal) {
        let before = self.network.rssi;
        self.network.rssi = signal.rssi.unwrap_or(before);
        self.network.rsrp = signal.rsrp.unwrap_or(self.network.rsrp);
        self.network.rsrq = signal.rsrq.unwrap_or(self.network.rsrq);
        self.network.snr = signal.snr.unwrap_or(self.network.snr);
        if before != self.network.rssi && self.settings.is_on("+AUTOCSQ") {
            self.unsolicited(&self.signal_line());
        }
        self.qmi_follows_signal();
    }

    /// The module takes other technologies from now on: it leaves a cell that it may not use, and looks again for one.
    pub(super) fn allowed_technologies_changed(&mut self) {
        match (self.lte_is_allowed(), self.network.registered) {
            (true, false) => self.begin_registration(self.delays.register_again),
            (true, true) | (false, false) => {}
            (false, true) => {
                self.network.registered = false;
                self.network.generation += 1;
                self.end_all_calls("no service");
            }
        }
        self.announce_registration();
    }

    /// The SIM can be used: registration begins.
    pub(super) fn sim_became_usable(&mut self) {
        if self.sim.is_ready() && self.general.functionality == 1 {
            self.begin_registration(self.delays.register);
        }
        self.announce_registration();
    }

    /// `AT+CFUN` turned the radio on or off.
    pub(super) fn radio_changed(&mut self) {
        self.network.registered = false;
        self.network.generation += 1;
        if self.general.functionality == 1 {
            self.begin_registration(self.delays.register_again);
        } else {
            self.end_all_calls("radio off");
        }
        self.announce_registration();
    }

    fn begin_registration(&mut self, delay: super::timing::Range) {
        self.network.registered = false;
        self.network.generation += 1;
        let generation = self.network.generation;
        let after = self.random.within(delay);
        self.schedule.at(self.now + after, Action::Registered { generation });
    }

    pub(super) fn registered(&mut self, generation: u64) {
        if generation != self.network.generation || !self.sim.is_ready() || !self.lte_is_allowed() {
            return;
        }
        self.network.registered = true;
        self.announce_registration();
        self.schedule_delivery();
    }

    /// `+CREG: <stat>` and its kin for what has changed.
    pub(super) fn announce_registration(&mut self) {
        let mut mode_changed = false;
        for (name, domain) in DOMAINS {
            let state = self.registration(domain);
            let before = std::mem::replace(&mut self.network.announced[domain as usize], state);
            if before == state {
                continue;
            }
            mode_changed |= before.is_registered() != state.is_registered() && domain == Domain::Eps;
            let detail = self.settings.number(name, 0);
            if detail > 0 {
                let line = format!("{name}: {}{}", state.number(), place(domain, state, detail));
                self.unsolicited(&line);
            }
        }
        self.qmi_follows_registration();
        self.data_call_follows_registration();
        if mode_changed && self.settings.is_on("+CNSMOD") {
            let line = format!("+CNSMOD: {}", self.system_mode());
            self.unsolicited(&line);
        }
    }

    /// RSSI, RSRQ, RSRP and signal-to-noise ratio in whole decibels.
    pub(super) fn radio_conditions(&self) -> (i16, i16, i16, i16) {
        let Network {
            rsrp, rsrq, snr, rssi, ..
        } = self.network;
        (-113 + 2 * i16::from(rssi.min(31)), rsrq, rsrp, snr)
    }

    fn system_mode(&self) -> u8 {
        if self.is_served() { 8 } else { 0 }
    }

    fn signal_line(&self) -> String {
        let rssi = if self.general.functionality == 1 && self.sim.is_ready() {
            self.network.rssi
        } else {
            99
        };
        format!("+CSQ: {rssi},99")
    }

    /// Answers commands about the network.
    pub(super) fn network_command(&mut self, command: &Command) -> Option<Outcome> {
        if let Some((name, domain)) = DOMAINS.iter().find(|(name, _)| *name == command.name)
            && command.form == Form::Read
        {
            let (detail, state) = (self.settings.number(name, 0), self.registration(*domain));
            let line = format!("{name}: {detail},{}{}", state.number(), place(*domain, state, detail));
            return Some(Reply::line(line).into());
        }
        let reply = match (command.name.as_str(), &command.form) {
            ("+CSQ", Form::Execute) => Reply::line(self.signal_line()),
            ("+CSQ", Form::Test) => Reply::line("+CSQ: (0-31,99),(0-7,99)"),
            ("+CESQ", Form::Execute) => Reply::line(format!(
                "+CESQ: 99,99,255,255,{},{}",
                (self.network.rsrq * 2 + 40).clamp(0, 34),
                (self.network.rsrp + 141).clamp(0, 97)
            )),
            ("+CNSMOD", Form::Read) => Reply::line(format!(
                "+CNSMOD: {},{}",
                self.settings.number("+CNSMOD", 0),
                self.system_mode()
            )),
            ("+CPSI", Form::Read) => Reply::line(self.system_information()),
            ("+CPSI", Form::Set) => Reply::ok(),
            ("+CPSI", Form::Test) => Reply::line("+CPSI: (0-255)"),
            ("+COPS", form) => return Some(self.operator_command(form, command)),
            ("+CNMP", Form::Set) => {
                let outcome = self.settings.execute(command);
                self.allowed_technologies_changed();
                return outcome;
            }
            ("+CGDCONT" | "+CGACT" | "+CGATT" | "+CGPADDR" | "+CGCONTRDP" | "+CGAUTH", _) => {
                return self.context_command(command);
            }
            ("+CPOL", Form::Read) => Reply::ok(),
            ("+CTZR" | "+CTZU", Form::Execute) => Reply::error(),
            _ => return None,
        };
        Some(reply.into())
    }

    fn system_information(&self) -> String {
        let functionality = if self.general.functionality == 1 {
            "Online"
        } else {
            "Low Power Mode"
        };
        if !self.is_served() {
            return format!("+CPSI: NO SERVICE,{functionality}");
        }
        let (country, network) = self.network.plmn.split_at(self.network.plmn.len().min(3));
        let (rssi, rsrq, rsrp, snr) = self.radio_conditions();
        format!(
            "+CPSI: LTE,Online,{country}-{network},0x{AREA},13179364,448,EUTRAN-BAND1,100,4,4,{},{},{},{snr}",
            rsrq * 10,
            rsrp * 10,
            rssi * 10,
        )
    }

    fn operator_command(&mut self, form: &Form, command: &Command) -> Outcome {
        let Network {
            operator,
            plmn,
            operator_format,
            selection,
            ..
        } = &self.network;
        let reply = match form {
            Form::Read if self.is_served() => {
                let name = if *operator_format == 2 { plmn } else { operator };
                Reply::line(format!("+COPS: {selection},{operator_format},\"{name}\",{E_UTRAN}"))
            }
            Form::Read => Reply::line(format!("+COPS: {selection}")),
            Form::Test => {
                if self.general.functionality != 1 {
                    return Reply::cme(30).into();
                }
                let line = format!(
                    "+COPS: (2,\"{operator}\",\"{operator}\",\"{plmn}\",{E_UTRAN}),(3,\"Other Network\",\"Other\",\"00102\",{E_UTRAN}),,(0,1,2,3,4,5),(0,1,2)"
                );
                let after = self.random.within(self.delays.scan);
                return Outcome::After(after, Effect::Reply(Reply::line(line)));
            }
            Form::Set => return self.select_operator(command),
            Form::Execute => Reply::ok(),
        };
        reply.into()
    }

    fn select_operator(&mut self, command: &Command) -> Outcome {
        let Some(mode @ 0..=4) = command.number(0) else {
            return Reply::error().into();
        };
        if let Some(format) = command.number(1) {
            if format > 2 {
                return Reply::error().into();
            }
            self.network.operator_format = format;
        }
        if mode == 3 {
            return Reply::ok().into();
        }
        let wanted = command.value(2).map(str::to_owned);
        if matches!(mode, 1 | 4)
            && wanted
                .as_ref()
                .is_some_and(|name| *name != self.network.operator && *name != self.network.plmn)
        {
            return Reply::cme(30).into();
        }
        // The only cell is one of LTE.
        if matches!(mode, 1 | 4)
            && command
                .number(3)
                .is_some_and(|technology| technology != u32::from(E_UTRAN))
        {
            return Reply::cme(30).into();
        }
        self.network.selection = if mode == 4 { 1 } else { mode };
        self.announce_registration();
        if self.is_served() {
            self.schedule_delivery();
        }
        Reply::ok().into()
    }

    fn context_command(&mut self, command: &Command) -> Option<Outcome> {
        let reply = match (command.name.as_str(), &command.form) {
            ("+CGDCONT", Form::Read) => Reply::lines(
                self.network
                    .contexts
                    .iter()
                    .map(|(cid, (kind, apn))| {
                        let zeros = if kind == "IP" {
                            "0.0.0.0"
                        } else {
                            "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"
                        };
                        format!(
                            "+CGDCONT: {cid},\"{kind}\",\"{apn}\",\"{zeros}\",0,0,0,{}",
                            u8::from(*cid == 3)
                        )
                    })
                    .collect(),
            ),
            ("+CGDCONT", Form::Test) => Reply::lines(
                ["IP", "PPP", "IPV6", "IPV4V6"]
                    .map(|kind| format!("+CGDCONT: (1-24),\"{kind}\",,,(0-2),(0-4),(0-1),(0-1)"))
                    .to_vec(),
            ),
            ("+CGDCONT", Form::Set) => match (command.number(0), command.value(1)) {
                (Some(cid @ 1..=24), Some(kind @ ("IP" | "PPP" | "IPV6" | "IPV4V6"))) => {
                    let apn = command.value(2).unwrap_or_default().to_owned();
                    self.network.contexts.insert(cid, (kind.to_owned(), apn));
                    Reply::ok()
                }
                (Some(cid @ 1..=24), None) => {
                    self.network.contexts.remove(&cid);
                    Reply::ok()
                }
                _ => Reply::error(),
            },
            ("+CGACT", Form::Read) => Reply::lines(
                self.network
                    .contexts
                    .keys()
                    .map(|cid| format!("+CGACT: {cid},{}", u8::from(self.network.active.contains(cid))))
                    .collect(),
            ),
            ("+CGACT", Form::Set) => self.activate_context(command),
            ("+CGATT", Form::Read) => {
                let attached = self.network.attached && self.registration(Domain::Ps).is_registered();
                Reply::line(format!("+CGATT: {}", u8::from(attached)))
            }
            ("+CGATT", Form::Set) => {
                self.network.attached = command.number(0) == Some(1);
                Reply::ok()
            }
            ("+CGACT" | "+CGATT", Form::Test) => Reply::line(format!("{}: (0,1)", command.name)),
            ("+CGPADDR", Form::Set | Form::Execute) => Reply::lines(
                self.network
                    .active
                    .iter()
                    .map(|cid| match self.data_call_address(*cid) {
                        Some(address) => format!("+CGPADDR: {cid},{address}"),
                        None => format!("+CGPADDR: {cid},10.64.0.{cid}"),
                    })
                    .collect(),
            ),
            ("+CGCONTRDP", Form::Set | Form::Execute) => Reply::ok(),
            ("+CGAUTH", Form::Set) => self.authenticate_context(command),
            ("+CGAUTH", Form::Read) => Reply::lines(
                self.network
                    .contexts
                    .keys()
                    .map(|cid| match self.network.authentications.get(cid) {
                        Some((kind, user, _)) => format!("+CGAUTH: {cid},{kind},\"{user}\""),
                        None => format!("+CGAUTH: {cid},0"),
                    })
                    .collect(),
            ),
            ("+CGAUTH", Form::Test) => Reply::line("+CGAUTH: (1-24),(0-3),127,127"),
            _ => return None,
        };
        Some(reply.into())
    }

    /// `AT+CGAUTH=<cid>,<type>,"<password>","<user>"`: the password comes first.
    fn authenticate_context(&mut self, command: &Command) -> Reply {
        let (Some(cid @ 1..=24), Some(kind @ 0..=3)) = (command.number(0), command.number(1)) else {
            return Reply::error();
        };
        match (kind, command.value(2), command.value(3)) {
            (0, ..) => self.network.authentications.remove(&cid),
            (_, Some(password), Some(user)) => {
                let known = (kind, user.to_owned(), password.to_owned());
                self.network.authentications.insert(cid, known)
            }
            _ => return Reply::error(),
        };
        Reply::ok()
    }

    fn activate_context(&mut self, command: &Command) -> Reply {
        let (Some(state @ (0 | 1)), Some(cid)) = (command.number(0), command.number(1)) else {
            return Reply::error();
        };
        if !self.network.contexts.contains_key(&cid) {
            return Reply::cme(21);
        }
        if !self.registration(Domain::Ps).is_registered() {
            return Reply::cme(30);
        }
        self.network.set_active(cid, state == 1);
        Reply::ok()
    }
}

/// `,<tac>,<ci>[,<AcT>]` where the module was asked to show it and knows it.
fn place(domain: Domain, state: RegistrationState, detail: u32) -> String {
    match domain {
        _ if detail < 2 || !state.is_registered() => String::new(),
        Domain::Eps => format!(",{AREA},{CELL},{E_UTRAN}"),
        _ => format!(",{AREA},{CELL}"),
    }
}
