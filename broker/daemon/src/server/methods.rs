//! Which scope each method needs.

use crate::scope::{Scope, Scopes};

/// What a method asks of whoever calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// This scope.
    One(Scope),
    /// Any that reads; the method itself leaves out what the caller may not see.
    Reading,
    /// Any at all.
    Known,
}

impl Need {
    /// The scope that is missing, if one is.
    pub(super) fn missing(self, scopes: Scopes) -> Option<Scope> {
        match self {
            Self::One(scope) => Some(scope).filter(|scope| !scopes.contains(*scope)),
            Self::Reading => {
                let reads = Scope::ALL
                    .into_iter()
                    .any(|scope| Scopes::READ.contains(scope) && scopes.contains(scope));
                (!reads).then_some(Scope::ModemRead)
            }
            Self::Known => scopes.is_empty().then_some(Scope::ModemRead),
        }
    }
}

use Need::{One, Reading};
use Scope::{
    Admin, AtRaw, CallAudio, CallControl, CallRead, LocationRead, ModemControl, ModemRead, NetworkControl, NetworkRead,
    SmsRead, SmsSend,
};

/// Package of the contract, before the name of a service.
const PACKAGE: &str = "/modembroker.v1.";

/// Service, method, need. A test compares the table with the contract.
const METHODS: &[(&str, &[(&str, Need)])] = &[
    ("BrokerService", &[("GetBroker", Reading)]),
    (
        "ModemService",
        &[
            ("ListModems", One(ModemRead)),
            ("GetModem", One(ModemRead)),
            ("GetPorts", One(ModemRead)),
            ("GetRecovery", One(ModemRead)),
            ("ResetModem", One(ModemControl)),
            ("SetFunctionality", One(ModemControl)),
            ("SwitchComposition", One(ModemControl)),
        ],
    ),
    (
        "SimService",
        &[
            ("GetSim", One(ModemRead)),
            ("EnterPin", One(ModemControl)),
            ("RestartSim", One(ModemControl)),
            // Ten wrong PUKs destroy a SIM.
            ("UnblockPin", One(Admin)),
            ("ChangePin", One(Admin)),
            ("SetPinLock", One(Admin)),
        ],
    ),
    (
        "SmsService",
        &[
            ("SendMessage", One(SmsSend)),
            ("ComposeMessage", One(SmsSend)),
            ("CancelMessage", One(SmsSend)),
            ("GetMessage", One(SmsRead)),
            ("ListMessages", One(SmsRead)),
            ("CheckStorage", One(SmsRead)),
            ("ListConversations", One(SmsRead)),
            ("MarkMessages", One(SmsRead)),
            // Of anybody.
            ("DeleteMessage", One(Admin)),
        ],
    ),
    (
        "VoiceService",
        &[
            ("Dial", One(CallControl)),
            ("Answer", One(CallControl)),
            ("Reject", One(CallControl)),
            ("HangUp", One(CallControl)),
            ("Hold", One(CallControl)),
            ("Resume", One(CallControl)),
            ("SendDtmf", One(CallControl)),
            ("GetCall", One(CallRead)),
            ("ListCalls", One(CallRead)),
            ("StreamCall", One(CallAudio)),
            ("MonitorCall", One(CallAudio)),
            ("SetRecording", One(CallAudio)),
            ("GetCallForwarding", One(CallRead)),
            // Every call of the SIM, at its owner's expense.
            ("SetCallForwarding", One(Admin)),
        ],
    ),
    (
        "UssdService",
        // A code can do all that forwarding can, and buy things.
        &[
            ("StartUssdSession", One(Admin)),
            ("ReplyToUssdSession", One(Admin)),
            ("CancelUssdSession", One(Admin)),
        ],
    ),
    (
        "NetworkService",
        &[
            ("GetNetworkStatus", One(NetworkRead)),
            ("GetSignalHistory", One(NetworkRead)),
            ("GetCells", One(NetworkRead)),
            ("GetWanStatus", One(NetworkRead)),
            ("GetBearer", One(NetworkRead)),
            ("GetBearerStatistics", One(NetworkRead)),
            ("ListDataProfiles", One(NetworkRead)),
            ("GetDataUsage", One(NetworkRead)),
            ("ScanOperators", One(NetworkControl)),
            ("SelectOperator", One(NetworkControl)),
            ("SetNetworkModes", One(NetworkControl)),
            ("CheckWan", One(NetworkControl)),
            ("SetWanMode", One(NetworkControl)),
            ("ForceWan", One(NetworkControl)),
            ("ConnectBearer", One(NetworkControl)),
            ("DisconnectBearer", One(NetworkControl)),
        ],
    ),
    (
        "LocationService",
        &[
            ("GetFix", One(LocationRead)),
            ("StreamFixes", One(LocationRead)),
            ("StreamNmea", One(LocationRead)),
        ],
    ),
    (
        "EventService",
        &[
            ("WatchEvents", Reading),
            ("ListEvents", Reading),
            ("CommitCursor", Reading),
            ("ListConsumers", Reading),
            // Of anybody.
            ("DeleteConsumer", One(Admin)),
        ],
    ),
    (
        "DiagnosticsService",
        &[
            ("ExecuteAtCommand", One(AtRaw)),
            ("OpenAtTerminal", One(AtRaw)),
            ("ExecuteQmiRequest", One(AtRaw)),
            ("ListQmiServices", One(AtRaw)),
            ("StreamTrace", One(AtRaw)),
            ("GetTrace", One(AtRaw)),
        ],
    ),
];

/// What the method at this path needs. A method of the contract that the table lacks needs [`Scope::Admin`]; what is not of
/// the contract, reflection, tells what anybody can read in the sources.
pub(super) fn need(path: &str) -> Need {
    let Some((service, method)) = path.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('/')) else {
        return Need::Known;
    };
    METHODS
        .iter()
        .filter(|(name, _)| *name == service)
        .flat_map(|(_, methods)| *methods)
        .find(|(name, _)| *name == method)
        .map_or(One(Admin), |(_, need)| *need)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// `Service/Method` of the contract, in the order of the alphabet.
    fn contract() -> Vec<String> {
        let set = FileDescriptorSet::decode(api::FILE_DESCRIPTOR_SET).unwrap();
        let files = set.file.iter().filter(|file| file.package() == "modembroker.v1");
        let mut methods: Vec<_> = files
            .flat_map(|file| &file.service)
            .flat_map(|service| {
                let name = service.name().to_owned();
                service
                    .method
                    .iter()
                    .map(move |method| format!("{name}/{}", method.name()))
            })
            .collect();
        methods.sort();
        methods
    }

    #[test]
    fn every_method_of_the_contract_has_a_scope_and_no_other() {
        let mut table: Vec<_> = METHODS
            .iter()
            .flat_map(|(service, methods)| methods.iter().map(move |(method, _)| format!("{service}/{method}")))
            .collect();
        table.sort();
        assert_eq!(
            table,
            contract(),
            "give a new method its row in METHODS, server/methods.rs"
        );
    }

    #[test]
    fn each_method_is_open_to_its_scope_and_closed_to_every_other() {
        for method in contract() {
            let need = need(&format!("{PACKAGE}{method}"));
            for scope in Scope::ALL {
                let refused = need.missing(Scopes::of(&[scope]));
                match need {
                    One(needed) if needed == scope => assert_eq!(refused, None, "{method} with {scope}"),
                    One(needed) => assert_eq!(refused, Some(needed), "{method} with {scope}"),
                    Reading => assert_eq!(refused.is_none(), Scopes::READ.contains(scope), "{method} with {scope}"),
                    Need::Known => panic!("{method} is open to everybody"),
                }
            }
            assert_eq!(need.missing(Scopes::ALL), None);
            assert!(need.missing(Scopes::NONE).is_some());
        }
    }

    #[test]
    fn what_spends_or_destroys_is_not_open_to_readers() {
        for method in contract() {
            let (_, name) = method.split_once('/').unwrap();
            let reads = [
                "Get",
                "List",
                "Watch",
                "Commit",
                "CheckStorage",
                // What was read is told to others, and can be taken back.
                "MarkMessages",
                "StreamFixes",
                "StreamNmea",
            ];
            let open = need(&format!("{PACKAGE}{method}")).missing(Scopes::READ).is_none();
            assert!(!open || reads.iter().any(|read| name.starts_with(read)), "{method}");
        }
    }

    #[test]
    fn the_documentation_shows_the_table() {
        let documented = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/README.md"));
        for (service, methods) in METHODS {
            for (method, need) in *methods {
                let (scope, name) = match need {
                    One(scope) => (format!("| `{scope}` |"), method),
                    Reading | Need::Known => ("| any that reads |".to_owned(), method),
                };
                let row = documented
                    .lines()
                    .find(|line| line.starts_with(&scope))
                    .unwrap_or_default();
                let cells = row.trim_start_matches(&scope).trim_end_matches('|');
                let shown = cells.split(',').any(|cell| cell.trim() == *name);
                assert!(shown, "proto/README.md does not show {service}.{method} with {scope}");
            }
        }
    }

    #[test]
    fn a_method_that_nobody_knows_is_for_administrators() {
        assert_eq!(need("/modembroker.v1.SmsService/Future"), One(Admin));
        assert_eq!(
            need("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
            Need::Known
        );
    }
}
