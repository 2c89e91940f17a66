//! What the parts that arrived so far say, for the store.

use cellular::sms::data_coding::{self, DataCodingScheme, MessageClass};
use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::Deliver;
use cellular::sms::reassembly::{Content, Insertion, Part, Reassembly};
use cellular::sms::user_data::{self, Body, UserDataHeader};
use cellular::sms::{Direction, Pdu, Tpdu};

use super::coding;
use crate::resource::{ApplicationPorts, InformationElement, MessageWaiting, WaitingKind};
use crate::store::Assembled;

/// Reads the parts, given as number and PDU in order.
pub(super) fn assemble(parts: &[(u8, String)]) -> Assembled {
    let delivers: Vec<(MessageIdentity, Deliver)> = parts
        .iter()
        .filter_map(|(_, hex)| {
            let pdu = Pdu::decode_hex(hex, Direction::FromNetwork).ok()?;
            let identity = MessageIdentity::new("", &pdu);
            match pdu.tpdu {
                Tpdu::Deliver(deliver) => Some((identity, deliver)),
                _ => None,
            }
        })
        .collect();
    let Some((_, first)) = delivers.first() else {
        return Assembled {
            raw: true,
            ..Assembled::default()
        };
    };
    let scheme = first.data_coding_scheme;
    let header = first.user_data.header.as_ref();
    let mut assembled = Assembled {
        coding: Some(coding(scheme.alphabet())),
        message_class: scheme.class().map(class_number),
        protocol_identifier: first.protocol_identifier.0,
        message_waiting: message_waiting(scheme, header),
        application_ports: header
            .and_then(UserDataHeader::ports)
            .map(|(destination, originator)| ApplicationPorts {
                destination,
                originator,
            }),
        information_elements: other_elements(&delivers),
        ..Assembled::default()
    };
    let content = match join(&delivers) {
        Some(content) => content,
        None => match first.user_data.text(scheme) {
            Some(text) => Content::Text(text),
            None => Content::Data(body_octets(first)),
        },
    };
    match content {
        Content::Text(text) => assembled.text = text,
        Content::Data(data) => assembled.data = data,
    }
    assembled
}

fn join(delivers: &[(MessageIdentity, Deliver)]) -> Option<Content> {
    let mut reassembly = Reassembly::default();
    let mut whole = None;
    for (identity, deliver) in delivers {
        if let Insertion::Complete(message) = reassembly.insert(Part::new(deliver, *identity)?) {
            whole = Some(message.content());
        }
    }
    whole.or_else(|| reassembly.incomplete().next().map(|message| message.content()))
}

fn body_octets(deliver: &Deliver) -> Vec<u8> {
    match &deliver.user_data.body {
        Body::Septets(octets) | Body::Octets(octets) => octets.clone(),
    }
}

/// The indication of the header has a count and stands before that of the data coding scheme (23.040 9.2.3.24.2).
fn message_waiting(scheme: DataCodingScheme, header: Option<&UserDataHeader>) -> Option<MessageWaiting> {
    let elements = header.map_or(&[][..], |header| &header.elements);
    let indicated = elements.iter().find_map(|element| match element {
        user_data::InformationElement::MessageWaiting(indication) => Some(MessageWaiting {
            kind: waiting_kind(indication.kind()),
            active: indication.count > 0,
            store: indication.store(),
            count: Some(indication.count),
        }),
        _ => None,
    });
    indicated.or_else(|| {
        scheme.message_waiting().map(|waiting| MessageWaiting {
            kind: waiting_kind(waiting.kind),
            active: waiting.active,
            store: waiting.store,
            count: None,
        })
    })
}

fn waiting_kind(kind: data_coding::WaitingKind) -> WaitingKind {
    match kind {
        data_coding::WaitingKind::Voicemail => WaitingKind::Voicemail,
        data_coding::WaitingKind::Fax => WaitingKind::Fax,
        data_coding::WaitingKind::Email => WaitingKind::Email,
        data_coding::WaitingKind::Other => WaitingKind::Other,
    }
}

/// What the headers say beyond what has a field, each once.
fn other_elements(delivers: &[(MessageIdentity, Deliver)]) -> Vec<InformationElement> {
    let mut others: Vec<InformationElement> = Vec::new();
    let headers = delivers
        .iter()
        .filter_map(|(_, deliver)| deliver.user_data.header.as_ref());
    for element in headers.flat_map(|header| &header.elements) {
        if let user_data::InformationElement::Other { identifier, value } = element {
            let element = InformationElement {
                identifier: *identifier,
                value: value.clone(),
            };
            if !others.contains(&element) {
                others.push(element);
            }
        }
    }
    others
}

fn class_number(class: MessageClass) -> u8 {
    match class {
        MessageClass::Class0 => 0,
        MessageClass::Class1 => 1,
        MessageClass::Class2 => 2,
        MessageClass::Class3 => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A DELIVER from +447700900123 with these fields; the user data with its length in front.
    fn deliver(first_octet: &str, identifier: &str, scheme: &str, user_data: &str) -> Assembled {
        let hex = format!("00{first_octet}0C91447700091032{identifier}{scheme}62112140820500{user_data}");
        assemble(&[(1, hex)])
    }

    #[test]
    fn what_a_message_says_beside_its_text_is_kept() {
        let waiting = |kind, active, store, count| {
            Some(MessageWaiting {
                kind,
                active,
                store,
                count,
            })
        };
        for (what, first_octet, scheme, user_data, expected) in [
            ("plain", "04", "00", "00", None),
            (
                "discard group",
                "04",
                "C8",
                "00",
                waiting(WaitingKind::Voicemail, true, false, None),
            ),
            (
                "store group, off",
                "04",
                "D1",
                "00",
                waiting(WaitingKind::Fax, false, true, None),
            ),
            (
                "element",
                "44",
                "04",
                "06040102820541",
                waiting(WaitingKind::Email, true, true, Some(5)),
            ),
            (
                "element, none left",
                "44",
                "04",
                "06040102000041",
                waiting(WaitingKind::Voicemail, false, false, Some(0)),
            ),
        ] {
            let assembled = deliver(first_octet, "00", scheme, user_data);
            assert_eq!(assembled.message_waiting, expected, "{what}");
            assert!(assembled.information_elements.is_empty(), "{what}");
        }
        let addressed = deliver("44", "41", "F5", "0C0A05040B8423F0220255AA4142");
        assert_eq!(
            addressed.application_ports,
            Some(ApplicationPorts {
                destination: 2948,
                originator: 9200
            })
        );
        let unknown = InformationElement {
            identifier: 0x22,
            value: vec![0x55, 0xAA],
        };
        assert_eq!(addressed.information_elements, [unknown]);
        assert_eq!(
            (addressed.protocol_identifier, addressed.message_class),
            (0x41, Some(1))
        );
        assert_eq!(addressed.data, [0x41]);
    }
}
