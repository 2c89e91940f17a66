//! Error numbers and names: +CME (27.007 9.2), +CMS (27.005 3.2.5) and release causes of +CEER (27.007 6.10).
//!
//! The names are the ones a SIM7600 sends at `AT+CMEE=2`, as listed in the SIM7500/SIM7600 AT command manual V1.12,
//! sections 19.2 and 19.3.

/// The reason in a `+CME ERROR` or `+CMS ERROR`, which arrives as a number or as a text depending on `AT+CMEE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode {
    /// The number, if it was sent or the text is in the table.
    pub number: Option<u16>,
    /// The name in the table, if the reason is known.
    pub name: Option<&'static str>,
    /// The reason as received.
    pub text: String,
}

impl ErrorCode {
    /// Looks up the reason of a `+CME ERROR`.
    #[must_use]
    pub fn cme(reason: &str) -> Self {
        Self::look_up(CME, reason)
    }

    /// Looks up the reason of a `+CMS ERROR`.
    #[must_use]
    pub fn cms(reason: &str) -> Self {
        Self::look_up(CMS, reason)
    }

    fn look_up(table: &'static [(u16, &'static str)], reason: &str) -> Self {
        let reason = reason.trim();
        let number: Option<u16> = reason.parse().ok();
        let entry = match number {
            Some(number) => table.iter().find(|(known, _)| *known == number),
            None => table.iter().find(|(_, name)| name.eq_ignore_ascii_case(reason)),
        };
        Self {
            number: number.or(entry.map(|e| e.0)),
            name: entry.map(|e| e.1),
            text: reason.to_owned(),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.number, self.name) {
            (Some(number), Some(name)) => write!(f, "{number} ({name})"),
            (Some(number), None) => write!(f, "{number}"),
            _ => f.write_str(&self.text),
        }
    }
}

/// `+CME ERROR` numbers (27.007 9.2).
pub const CME: &[(u16, &str)] = &[
    (0, "phone failure"),
    (1, "no connection to phone"),
    (2, "phone adaptor link reserved"),
    (3, "operation not allowed"),
    (4, "operation not supported"),
    (5, "PH-SIM PIN required"),
    (6, "PH-FSIM PIN required"),
    (7, "PH-FSIM PUK required"),
    (10, "SIM not inserted"),
    (11, "SIM PIN required"),
    (12, "SIM PUK required"),
    (13, "SIM failure"),
    (14, "SIM busy"),
    (15, "SIM wrong"),
    (16, "incorrect password"),
    (17, "SIM PIN2 required"),
    (18, "SIM PUK2 required"),
    (20, "memory full"),
    (21, "invalid index"),
    (22, "not found"),
    (23, "memory failure"),
    (24, "text string too long"),
    (25, "invalid characters in text string"),
    (26, "dial string too long"),
    (27, "invalid characters in dial string"),
    (30, "no network service"),
    (31, "network timeout"),
    (32, "network not allowed - emergency calls only"),
    (40, "network personalization PIN required"),
    (41, "network personalization PUK required"),
    (42, "network subset personalization PIN required"),
    (43, "network subset personalization PUK required"),
    (44, "service provider personalization PIN required"),
    (45, "service provider personalization PUK required"),
    (46, "corporate personalization PIN required"),
    (47, "corporate personalization PUK required"),
    (100, "Unknown"),
    (106, "Illegal ME"),
    (107, "GPRS services not allowed"),
    (111, "PLMN not allowed"),
    (112, "Location area not allowed"),
    (113, "Roaming not allowed in this location area"),
    (132, "service option not supported"),
    (133, "requested service option not subscribed"),
    (134, "service option temporarily out of order"),
    (148, "unspecified GPRS error"),
    (149, "PDP authentication failure"),
    (150, "invalid mobile class"),
    (257, "network rejected request"),
    (258, "retry operation"),
    (259, "invalid deflected to number"),
    (260, "deflected to own number"),
    (261, "unknown subscriber"),
    (262, "service not available"),
    (263, "unknown class specified"),
    (264, "unknown network message"),
    (273, "minimum TFTS per PDP address violated"),
    (274, "TFT precedence index not unique"),
    (275, "invalid parameter combination"),
];

/// `+CMS ERROR` numbers (27.005 3.2.5).
pub const CMS: &[(u16, &str)] = &[
    (300, "ME failure"),
    (301, "SMS service of ME reserved"),
    (302, "Operation not allowed"),
    (303, "Operation not supported"),
    (304, "Invalid PDU mode parameter"),
    (305, "Invalid text mode parameter"),
    (310, "SIM not inserted"),
    (311, "SIM PIN required"),
    (312, "PH-SIM PIN required"),
    (313, "SIM failure"),
    (314, "SIM busy"),
    (315, "SIM wrong"),
    (316, "SIM PUK required"),
    (317, "SIM PIN2 required"),
    (318, "SIM PUK2 required"),
    (320, "Memory failure"),
    (321, "Invalid memory index"),
    (322, "Memory full"),
    (330, "SMSC address unknown"),
    (331, "No network service"),
    (332, "Network timeout"),
    (340, "NO +CNMA ACK EXPECTED"),
    (341, "Buffer overflow"),
    (342, "SMS size more than expected"),
    (500, "Unknown error"),
];

/// Release causes of `+CEER`: CS internal cause.
pub const CEER_CS_INTERNAL_CAUSE: &[(u16, &str)] = &[
    (0, "Phone is offline"),
    (21, "No service available"),
    (25, "Network release, no reason given"),
    (27, "Received incoming call"),
    (29, "Client ended call"),
    (34, "UIM not present"),
    (35, "Access attempt already in progress"),
    (36, "Access failure, unknown source"),
    (38, "Concur service not supported by network"),
    (29, "No response received from network"),
    (45, "GPS call ended for user call"),
    (46, "SMS call ended for user call"),
    (47, "Data call ended for emergency call"),
    (48, "Rejected during redirect or handoff"),
    (100, "Lower-layer ended call"),
    (101, "Call origination request failed"),
    (102, "Client rejected incoming call"),
    (103, "Client rejected setup indication"),
    (104, "Network ended call"),
    (105, "No funds available"),
    (108, "Full service not available"),
    (109, "Maximum packet calls exceeded"),
    (301, "Video connection lost"),
    (302, "Video call setup failure"),
    (303, "Video protocol closed after setup"),
    (304, "Video protocol setup failure"),
    (305, "Internal error"),
];

/// Release causes of `+CEER`: CS network cause.
pub const CEER_CS_NETWORK_CAUSE: &[(u16, &str)] = &[
    (1, "Unassigned/unallocated number"),
    (3, "No route to destination"),
    (6, "Channel unacceptable"),
    (8, "Operator determined barring"),
    (16, "Normal call clearing"),
    (17, "User busy"),
    (18, "No user responding"),
    (19, "User alerting, no answer"),
    (21, "Call rejected"),
    (22, "Number changed"),
    (26, "Non selected user clearing"),
    (27, "Destination out of order"),
    (28, "Invalid/incomplete number"),
    (29, "Facility rejected"),
    (30, "Response to Status Enquiry"),
    (31, "Normal, unspecified"),
    (34, "No circuit/channel available"),
    (38, "Network out of order"),
    (41, "Temporary failure"),
    (42, "Switching equipment congestion"),
    (43, "Access information discarded"),
    (44, "Requested circuit/channel not available"),
    (47, "Resources unavailable, unspecified"),
    (49, "Quality of service unavailable"),
    (50, "Requested facility not subscribed"),
    (55, "Incoming calls barred within the CUG"),
    (57, "Bearer capability not authorized"),
    (58, "Bearer capability not available"),
    (63, "Service/option not available"),
    (65, "Bearer service not implemented"),
    (68, "ACM >= ACMmax"),
    (69, "Requested facility not implemented"),
    (70, "Only RDI bearer is available"),
    (81, "Invalid transaction identifier value"),
    (87, "User not member of CUG"),
    (88, "Incompatible destination"),
    (91, "Invalid transit network selection"),
    (95, "Semantically incorrect message"),
    (96, "Invalid mandatory information"),
    (97, "Message non-existent/not implemented"),
    (98, "Message type not compatible with state"),
    (99, "IE non-existent/not implemented"),
    (100, "Conditional IE error"),
    (101, "Message not compatible with state"),
    (102, "Recovery on timer expiry"),
    (111, "Protocol error, unspecified"),
    (117, "Interworking, unspecified"),
];

/// Release causes of `+CEER`: CS network reject.
pub const CEER_CS_NETWORK_REJECT: &[(u16, &str)] = &[
    (2, "IMSI unknown in HLR"),
    (3, "Illegal MS"),
    (4, "IMSI unknown in VLR"),
    (5, "IMEI not accepted"),
    (6, "Illegal ME"),
    (7, "GPRS services not allowed"),
    (8, "GPRS & non GPRS services not allowed"),
    (9, "MS identity cannot be derived"),
    (10, "Implicitly detached"),
    (11, "PLMN not allowed"),
    (12, "Location Area not allowed"),
    (13, "Roaming not allowed"),
    (14, "GPRS services not allowed in PLMN"),
    (15, "No Suitable Cells In Location Area"),
    (16, "MSC temporarily not reachable"),
    (17, "Network failure"),
    (20, "MAC failure"),
    (21, "Synch failure"),
    (22, "Congestion"),
    (23, "GSM authentication unacceptable"),
    (32, "Service option not supported"),
    (33, "Requested service option not subscribed"),
    (34, "Service option temporarily out of order"),
    (38, "Call cannot be identified"),
    (40, "No PDP context activated"),
    (95, "Semantically incorrect message"),
    (97, "Message type non-existent"),
    (98, "Message type not compatible with state"),
    (99, "Information element non-existent"),
    (101, "Message not compatible with state"),
    (161, "RR release indication"),
    (162, "RR random access failure"),
    (163, "RRC release indication"),
    (164, "RRC close session indication"),
    (165, "RRC open session failure"),
    (166, "Low level failure"),
    (167, "Low level failure no redial allowed"),
    (168, "Invalid SIM"),
    (169, "No service"),
    (170, "Timer T3230 expired"),
    (171, "No cell available"),
    (172, "Wrong state"),
    (173, "Access class blocked"),
    (174, "Abort message received"),
    (175, "Other cause"),
    (176, "Timer T303 expired"),
    (177, "No resources"),
    (178, "Release pending"),
    (179, "Invalid user data"),
];

/// Release causes of `+CEER`: PS internal cause look up.
pub const CEER_PS_INTERNAL_CAUSE_LOOK_UP: &[(u16, &str)] = &[
    (0, "Invalid connection identifier"),
    (1, "Invalid NSAPI"),
    (2, "Invalid Primary NSAPI"),
    (3, "Invalid field"),
    (4, "SNDCP failure"),
    (5, "RAB setup failure"),
    (6, "No GPRS context"),
    (7, "PDP establish timeout"),
    (8, "PDP activate timeout"),
    (9, "PDP modify timeout"),
    (10, "PDP inactive max timeout"),
    (11, "PDP lowerlayer error"),
    (12, "PDP duplicate"),
    (13, "Access technology change"),
    (14, "PDP unknown reason"),
];

/// Release causes of `+CEER`: PS network cause.
pub const CEER_PS_NETWORK_CAUSE: &[(u16, &str)] = &[
    (26, "Insufficient resources"),
    (27, "Missing or unknown APN"),
    (28, "Unknown PDP address or PDP type"),
    (29, "User Authentication failed"),
    (30, "Activation rejected by GGSN"),
    (31, "Activation rejected, unspecified"),
    (32, "Service option not supported"),
    (33, "Requested service option not subscribed"),
    (34, "Service option temporarily out of order"),
    (35, "NSAPI already used (not sent)"),
    (36, "Regular deactivation"),
    (37, "QoS not accepted"),
    (38, "Network failure"),
    (39, "Reactivation required"),
    (40, "Feature not supported"),
    (41, "Semantic error in the TFT operation"),
    (42, "Syntactical error in the TFT operation"),
    (43, "Unknown PDP context"),
    (44, "PDP context without TFT already activated"),
    (45, "Semantic errors in packet filter"),
    (46, "Syntactical errors in packet filter"),
    (81, "Invalid transaction identifier"),
    (95, "Semantically incorrect message"),
    (96, "Invalid mandatory information"),
    (97, "Message non-existent/not implemented"),
    (98, "Message type not compatible with state"),
    (99, "IE non-existent/not implemented"),
    (100, "Conditional IE error"),
    (101, "Message not compatible with state"),
    (111, "Protocol error, unspecified"),
];
