//! What may be shown of QMI and MBIM messages.

/// The header of a QMI message: which service, client, transaction and message (QMUX, 6 octets, and 7 of the message).
const FRAME_HEADER: usize = 13;

/// QMI frames, one after the other: their headers, which TLVs are in them, and the values of those that are known to be
/// about nobody. All others are zero: among them are APN, user and password of a session, PINs, numbers and positions.
pub(super) fn masked_frame(bytes: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [1, low, high, ..] = *rest
        && let Some((frame, after)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])) + 1)
    {
        shown.extend(masked_message(frame));
        rest = after;
    }
    shown.resize(bytes.len(), 0);
    shown
}

fn masked_message(frame: &[u8]) -> Vec<u8> {
    // The control service counts its transactions in one octet.
    let header = match frame.get(4) {
        Some(0) => FRAME_HEADER - 1,
        _ => FRAME_HEADER,
    };
    let Some((shown, mut tlvs)) = frame.split_at_checked(header) else {
        return vec![0; frame.len()];
    };
    let mut shown = shown.to_vec();
    let (service, id) = (frame[4], u16::from_le_bytes([frame[header - 4], frame[header - 3]]));
    while let Some((&[kind, low, high], after)) = tlvs.split_first_chunk()
        && let Some((value, after)) = after.split_at_checked(usize::from(u16::from_le_bytes([low, high])))
    {
        shown.extend([kind, low, high]);
        // A request may use the type of the result for something else.
        let is_result = frame[3] != 0 && kind == 2 && value.len() == 4;
        if is_result || PLAIN_TLVS.contains(&(service, id, kind)) && frame[3] != 0 {
            shown.extend_from_slice(value);
        } else {
            shown.resize(shown.len() + value.len(), 0);
        }
        tlvs = after;
    }
    shown.resize(frame.len(), 0);
    shown
}

/// MBIM frames, one after the other: which message, of which command, with which status. What is in a command's information
/// is zero: among it are IMSI, APN, user, password and PINs. What the modem says of a connection is about nobody.
pub(super) fn masked_mbim(bytes: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    // Fragments, service, command, status or kind, length; an indication has no status.
    const COMMAND: usize = 48;
    const INDICATION: usize = 44;
    const CONNECTION: usize = 36;
    const CONNECT: [u8; 4] = [12, 0, 0, 0];
    let mut shown = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&[kind, _, _, from, low, high, 0, 0], _)) = rest.split_first_chunk()
        && let Some((frame, after)) = rest.split_at_checked(usize::from(u16::from_le_bytes([low, high])).max(HEADER))
    {
        let is_first = frame.get(16..20) == Some(&[0; 4]);
        let head = match (kind, from) {
            (3, _) if is_first => COMMAND,
            (7, _) if is_first => INDICATION,
            (3 | 7, _) => HEADER + 8,
            _ => HEADER + 4,
        };
        let of_connection = from == 0x80 && matches!(kind, 3 | 7) && frame.get(36..40) == Some(&CONNECT);
        let head = if of_connection && is_first {
            head + CONNECTION
        } else {
            head
        };
        shown.extend_from_slice(&frame[..head.min(frame.len())]);
        shown.resize(shown.len() + frame.len().saturating_sub(head), 0);
        rest = after;
    }
    shown.resize(bytes.len(), 0);
    shown
}

/// Service, message and type of what the modem says about sessions and the IMS, and about nobody: why a session was not
/// started or has ended (WDS *Start Network* and *Packet Service Status*), and the states of IMSA.
const PLAIN_TLVS: &[(u8, u16, u8)] = &[
    (0x01, 0x0020, 0x10),
    (0x01, 0x0020, 0x11),
    (0x01, 0x0022, 0x01),
    (0x01, 0x0022, 0x10),
    (0x01, 0x0022, 0x11),
    (0x01, 0x0022, 0x12),
    (0x21, 0x0020, 0x11),
    (0x21, 0x0020, 0x12),
    (0x21, 0x0021, 0x10),
    (0x21, 0x0021, 0x11),
    (0x21, 0x0023, 0x10),
    (0x21, 0x0023, 0x11),
    (0x21, 0x0024, 0x10),
    (0x21, 0x0024, 0x11),
];
