//! The MBIM function: the same module, SIM and network as behind QMI and the AT ports, by the service of basic connectivity.
//!
//! Numbers are those of MBIM 1.0. What the host wants to be told of is compared with what it was told last, whenever
//! something has happened.

mod device;
mod frame;
mod session;

use std::collections::{BTreeMap, BTreeSet};

use super::Modem;
use super::usb::Function;
use frame::{Command, Field, Incoming, Said, lay_out};

const BASIC_CONNECT: [u8; 16] = 0xa289_cc33_bcbb_8b4f_b6b0_133e_c2aa_e6df_u128.to_be_bytes();

/// `wMaxControlMessage`, as the descriptor has it.
pub(crate) const MAX_TRANSFER: u16 = 4096;
const TRANSFER_MIN: u32 = 64;

/// Commands of basic connectivity.
const DEVICE_CAPS: u32 = 1;
const SUBSCRIBER_READY: u32 = 2;
const RADIO_STATE: u32 = 3;
const PIN: u32 = 4;
const HOME_PROVIDER: u32 = 6;
const VISIBLE_PROVIDERS: u32 = 8;
const REGISTER_STATE: u32 = 9;
const PACKET_SERVICE: u32 = 10;
const SIGNAL_STATE: u32 = 11;
const CONNECT: u32 = 12;
const IP_CONFIGURATION: u32 = 15;
const DEVICE_SERVICES: u32 = 16;
const SUBSCRIBE_LIST: u32 = 19;
const PACKET_STATISTICS: u32 = 20;

const COMMANDS: [u32; 14] = [
    DEVICE_CAPS,
    SUBSCRIBER_READY,
    RADIO_STATE,
    PIN,
    HOME_PROVIDER,
    VISIBLE_PROVIDERS,
    REGISTER_STATE,
    PACKET_SERVICE,
    SIGNAL_STATE,
    CONNECT,
    IP_CONFIGURATION,
    DEVICE_SERVICES,
    SUBSCRIBE_LIST,
    PACKET_STATISTICS,
];

/// What changes by itself.
const TOLD: [u32; 5] = [
    SUBSCRIBER_READY,
    RADIO_STATE,
    REGISTER_STATE,
    PACKET_SERVICE,
    SIGNAL_STATE,
];

/// `MBIM_STATUS_CODES`
const SUCCESS: u32 = 0;
const FAILURE: u32 = 2;
const SIM_NOT_INSERTED: u32 = 3;
const BAD_SIM: u32 = 4;
const PIN_REQUIRED: u32 = 5;
const NOT_REGISTERED: u32 = 7;
const NO_DEVICE_SUPPORT: u32 = 9;
const PACKET_SERVICE_DETACHED: u32 = 12;
const MAX_ACTIVATED_CONTEXTS: u32 = 13;
const NOT_INITIALIZED: u32 = 14;
const CONTEXT_NOT_ACTIVATED: u32 = 16;
const RADIO_POWER_OFF: u32 = 20;
const INVALID_PARAMETERS: u32 = 21;

/// `MBIM_PROTOCOL_ERROR_CODES`
const NOT_OPENED: u32 = 5;

/// A command that is not carried out: its status, and what is told beside it.
type Refused = (u32, Vec<u8>);

fn refused(status: u32) -> Refused {
    (status, Vec::new())
}

/// The state of the function. It is lost with the power.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mbim {
    incoming: Incoming,
    /// The largest transfer of the host that has opened it.
    open: Option<usize>,
    /// Commands of which the host wants to be told.
    subscribed: BTreeSet<u32>,
    /// What it was told last, by command.
    told: BTreeMap<u32, Vec<u8>>,
    signal: device::SignalReports,
    detached: bool,
    session: session::Sessions,
}

impl Modem {
    /// Takes bytes of the control channel.
    pub(super) fn mbim_input(&mut self, bytes: &[u8]) {
        self.mbim.incoming.push(bytes);
        while let Some(said) = self.mbim.incoming.next() {
            if self.packet.silent {
                continue;
            }
            match said {
                Said::Open {
                    transaction,
                    max_transfer,
                } => self.mbim_open(transaction, max_transfer),
                Said::Close { transaction } => {
                    self.mbim_forget_host();
                    self.emit(Function::Mbim, &frame::plain(frame::CLOSE_DONE, transaction, SUCCESS));
                }
                Said::Wrong { transaction, error } => self.function_error(transaction, error),
                Said::Command(command) if self.mbim.open.is_none() => {
                    self.function_error(command.transaction, NOT_OPENED);
                }
                Said::Command(command) => self.mbim_command(command),
            }
        }
    }

    fn function_error(&mut self, transaction: u32, error: u32) {
        self.emit(Function::Mbim, &frame::plain(frame::FUNCTION_ERROR, transaction, error));
    }

    /// A host that opens what is open already begins anew.
    fn mbim_open(&mut self, transaction: u32, max_transfer: u32) {
        self.mbim_forget_host();
        let max_transfer = max_transfer.min(u32::from(MAX_TRANSFER));
        let status = if max_transfer < TRANSFER_MIN {
            INVALID_PARAMETERS
        } else {
            SUCCESS
        };
        if status == SUCCESS {
            self.mbim.open = Some(max_transfer as usize);
            self.mbim.subscribed = COMMANDS.into();
            self.note_told();
        }
        self.emit(Function::Mbim, &frame::plain(frame::OPEN_DONE, transaction, status));
    }

    /// Sessions end with the dialogue.
    fn mbim_forget_host(&mut self) {
        self.mbim.open = None;
        self.mbim.subscribed.clear();
        self.mbim.told.clear();
        self.mbim.session.forget();
    }

    fn mbim_command(&mut self, command: Command) {
        let outcome = match command.service {
            BASIC_CONNECT => self.basic_connect(&command),
            _ => Err(refused(NO_DEVICE_SUPPORT)),
        };
        // A session that takes its time is answered when it is there.
        if let Some(outcome) = outcome.transpose() {
            self.mbim_answer(&command, outcome);
        }
    }

    fn mbim_answer(&mut self, command: &Command, outcome: Result<Vec<u8>, Refused>) {
        let Some(max_transfer) = self.mbim.open.filter(|_| !self.packet.silent) else {
            return;
        };
        let (status, information) = match outcome {
            Ok(information) => (SUCCESS, information),
            Err(refused) => refused,
        };
        self.emit(
            Function::Mbim,
            &frame::answer(command, status, &information, max_transfer),
        );
    }

    fn basic_connect(&mut self, command: &Command) -> Result<Option<Vec<u8>>, Refused> {
        Ok(Some(match (command.cid, command.is_set) {
            (DEVICE_CAPS, false) => self.device_caps(),
            (RADIO_STATE, true) => self.switch_radio(command)?,
            (PIN, false) => self.pin_information(),
            (PIN, true) => self.change_pin_by_mbim(command)?,
            (HOME_PROVIDER, false) => self.home_provider()?,
            (VISIBLE_PROVIDERS, false) => self.visible_providers()?,
            (REGISTER_STATE, true) => self.register(command)?,
            (PACKET_SERVICE, true) => self.attach(command)?,
            (SIGNAL_STATE, true) => self.report_signal(command),
            (CONNECT, false) => self.connection(),
            (CONNECT, true) => return self.activate(command),
            (IP_CONFIGURATION, false) => self.ip_configuration()?,
            (DEVICE_SERVICES, false) => services(),
            (SUBSCRIBE_LIST, true) => self.subscribe(command)?,
            // Nobody counts here.
            (PACKET_STATISTICS, false) => vec![0; 48],
            (cid, false) if TOLD.contains(&cid) => self.information(cid),
            _ => return Err(refused(NO_DEVICE_SUPPORT)),
        }))
    }

    /// What a command tells that can be asked for and is told as well.
    fn information(&self, cid: u32) -> Vec<u8> {
        match cid {
            SUBSCRIBER_READY => self.subscriber(),
            RADIO_STATE => self.radio(),
            REGISTER_STATE => self.register_information(),
            PACKET_SERVICE => self.packet_service(),
            _ => self.signal_information_by_mbim(),
        }
    }

    fn note_told(&mut self) {
        self.mbim.told = TOLD.iter().map(|cid| (*cid, self.information(*cid))).collect();
        self.signal_told();
    }

    fn subscribe(&mut self, command: &Command) -> Result<Vec<u8>, Refused> {
        let mut subscribed = BTreeSet::new();
        for element in 0..command.number(0) as usize {
            let at = command.number(4 + element * 8) as usize;
            let service = command
                .information
                .get(at..at + 16)
                .ok_or_else(|| refused(INVALID_PARAMETERS))?;
            if service == BASIC_CONNECT {
                let count = command.number(at + 16) as usize;
                subscribed.extend((0..count.min(COMMANDS.len())).map(|cid| command.number(at + 20 + cid * 4)));
            }
        }
        self.mbim.subscribed = subscribed;
        Ok(command.information.clone())
    }

    /// Tells the host what has changed.
    pub(super) fn mbim_follows(&mut self) {
        if self.mbim.open.is_none() {
            return;
        }
        self.mbim_sessions_follow_registration();
        for cid in TOLD {
            let now = self.information(cid);
            if self.mbim.told.get(&cid) == Some(&now) || cid == SIGNAL_STATE && !self.signal_moved() {
                continue;
            }
            if cid == SIGNAL_STATE {
                self.signal_told();
            }
            self.mbim_indicate(cid, &now);
            self.mbim.told.insert(cid, now);
        }
    }

    fn mbim_indicate(&mut self, cid: u32, information: &[u8]) {
        if let Some(max_transfer) = self.mbim.open
            && self.mbim.subscribed.contains(&cid)
            && !self.packet.silent
        {
            let indication = frame::indication(BASIC_CONNECT, cid, information, max_transfer);
            self.emit(Function::Mbim, &indication);
        }
    }
}

/// The one service, with its commands.
fn services() -> Vec<u8> {
    let mut element = BASIC_CONNECT.to_vec();
    // No data service streams.
    element.extend([0; 8]);
    element.extend((COMMANDS.len() as u32).to_le_bytes());
    element.extend(COMMANDS.iter().flat_map(|cid| cid.to_le_bytes()));
    lay_out(&[Field::Number(1), Field::Number(0), Field::Part(element)])
}
