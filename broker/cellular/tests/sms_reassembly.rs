//! Reassembly where networks and senders do what they should not.

use cellular::sms::address::{Address, TypeOfAddress};
use cellular::sms::data_coding::DataCodingScheme;
use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::{Deliver, ProtocolIdentifier};
use cellular::sms::reassembly::{Content, Insertion, MessageParts, Part, Reassembly};
use cellular::sms::timestamp::{Timestamp, TimestampOctets};
use cellular::sms::user_data::{
    Body, Concatenation, ConcatenationReference, InformationElement, UserData, UserDataHeader,
};
use cellular::sms::{Pdu, Tpdu};

const NOON: i64 = 1_700_000_000;
const HOUR: i64 = 3600;

/// A part of a message with a text of two parts, unless said otherwise.
#[derive(Clone, Copy)]
struct Sent<'a> {
    reference: ConcatenationReference,
    part_count: u8,
    part: u8,
    text: &'a str,
    time: Option<i64>,
    more_messages: bool,
}

fn sent(part: u8, text: &str) -> Sent<'_> {
    let reference = ConcatenationReference::Bits8(7);
    Sent {
        reference,
        part_count: 2,
        part,
        text,
        time: Some(NOON),
        more_messages: false,
    }
}

impl Sent<'_> {
    fn at(self, time: i64) -> Self {
        Self {
            time: Some(time),
            ..self
        }
    }

    fn part(self) -> Part {
        let body = Body::Octets(self.text.encode_utf16().flat_map(u16::to_be_bytes).collect());
        self.part_with(DataCodingScheme(0x08), body)
    }

    fn part_with(self, scheme: DataCodingScheme, body: Body) -> Part {
        let Self {
            reference,
            part_count,
            part,
            time,
            more_messages,
            ..
        } = self;
        let concatenation = InformationElement::Concatenation(Concatenation {
            reference,
            part_count,
            part,
        });
        let time = time.map(|time| Timestamp::from_unix_seconds(time, 0).expect("a time"));
        let deliver = Deliver {
            more_messages_to_send: more_messages,
            loop_prevention: false,
            reply_path: false,
            status_report_indication: false,
            originating_address: Address {
                type_of_address: TypeOfAddress::INTERNATIONAL,
                value: "4915112345678".into(),
            },
            protocol_identifier: ProtocolIdentifier(0),
            data_coding_scheme: scheme,
            service_centre_timestamp: time.map_or(TimestampOctets([0; 7]), TimestampOctets::from),
            user_data: UserData {
                header: Some(UserDataHeader {
                    elements: vec![concatenation],
                }),
                body,
            },
        };
        let pdu = Pdu {
            service_centre: None,
            tpdu: Tpdu::Deliver(deliver.clone()),
        };
        Part::new(&deliver, MessageIdentity::new("sim", &pdu)).expect("a part")
    }
}

fn text_of(message: &MessageParts) -> String {
    match message.content() {
        Content::Text(text) => text,
        Content::Data(data) => panic!("a text became data: {data:02X?}"),
    }
}

/// Inserts the parts and tells for each what became of it: the text, `…` or `=` for a duplicate.
fn outcomes(reassembly: &mut Reassembly, parts: impl IntoIterator<Item = Part>) -> Vec<String> {
    let describe = |insertion| match insertion {
        Insertion::Complete(message) => text_of(&message),
        Insertion::Incomplete { .. } => "…".to_owned(),
        Insertion::Duplicate => "=".to_owned(),
    };
    parts
        .into_iter()
        .map(|part| describe(reassembly.insert(part)))
        .collect()
}

#[test]
fn reused_reference_starts_a_new_message() {
    let mut reassembly = Reassembly::default();
    let parts = [
        sent(1, "old "),
        sent(1, "new ").at(NOON + 5),
        sent(2, "message").at(NOON + 6),
    ];
    let outcomes = outcomes(&mut reassembly, parts.map(Sent::part));
    assert_eq!(outcomes, ["…", "…", "new message"]);
    let left: Vec<_> = reassembly.incomplete().map(text_of).collect();
    assert_eq!(left, ["old "]);
}

#[test]
fn parts_of_yesterday_and_today_do_not_mix() {
    let mut reassembly = Reassembly::default();
    let parts = [
        sent(1, "lost yesterday").at(NOON - 24 * HOUR),
        sent(2, " today").at(NOON),
        sent(1, "sent").at(NOON - 1),
    ];
    assert_eq!(
        outcomes(&mut reassembly, parts.map(Sent::part)),
        ["…", "…", "sent today"]
    );
}

#[test]
fn a_chain_of_small_steps_does_not_stretch_a_message_over_a_day() {
    let mut reassembly = Reassembly::default();
    let long = |part, hours| {
        Sent {
            part_count: 4,
            ..sent(part, "x")
        }
        .at(NOON + hours * HOUR)
        .part()
    };
    assert_eq!(
        outcomes(&mut reassembly, [long(1, 0), long(2, 5), long(3, 10)]),
        ["…"; 3]
    );
    assert_eq!(reassembly.incomplete().count(), 2);
}

#[test]
fn parts_delivered_twice_are_known_even_when_the_message_is_whole() {
    let mut reassembly = Reassembly::default();
    let [first, second] = [sent(1, "a"), sent(2, "b")];
    let parts = [first, first, second, second, first];
    assert_eq!(
        outcomes(&mut reassembly, parts.map(Sent::part)),
        ["…", "=", "ab", "=", "="]
    );
    assert_eq!(reassembly.incomplete().count(), 0);
}

#[test]
fn a_part_delivered_again_with_another_more_messages_flag_is_the_same_part() {
    let mut reassembly = Reassembly::default();
    let again = Sent {
        more_messages: true,
        ..sent(1, "a")
    };
    assert_eq!(
        outcomes(&mut reassembly, [sent(1, "a").part(), again.part()]),
        ["…", "="]
    );
}

#[test]
fn the_same_long_text_sent_again_a_second_later_is_a_second_message() {
    let mut reassembly = Reassembly::default();
    let parts = [
        sent(1, "a"),
        sent(2, "b"),
        sent(1, "a").at(NOON + 1),
        sent(2, "b").at(NOON + 1),
    ];
    assert_eq!(outcomes(&mut reassembly, parts.map(Sent::part)), ["…", "ab", "…", "ab"]);
}

#[test]
fn references_of_different_width_are_different() {
    let mut reassembly = Reassembly::default();
    let wide = Sent {
        reference: ConcatenationReference::Bits16(7),
        ..sent(2, "b")
    };
    assert_eq!(
        outcomes(&mut reassembly, [sent(1, "a").part(), wide.part()]),
        ["…", "…"]
    );
}

#[test]
fn surrogate_pair_split_over_two_parts_comes_out_whole() {
    let ucs2 = DataCodingScheme(0x08);
    let first = sent(1, "").part_with(ucs2, Body::Octets(vec![0x00, 0x61, 0xD8, 0x3D]));
    let second = sent(2, "").part_with(ucs2, Body::Octets(vec![0xDE, 0x01, 0x00, 0x62]));
    assert_eq!(outcomes(&mut Reassembly::default(), [second, first]), ["…", "a😁b"]);
}

#[test]
fn escape_pair_split_over_two_parts_comes_out_whole() {
    let gsm7 = DataCodingScheme(0x00);
    let first = sent(1, "").part_with(gsm7, Body::Septets(vec![0x61, 0x1B]));
    let second = sent(2, "").part_with(gsm7, Body::Septets(vec![0x65, 0x62]));
    assert_eq!(outcomes(&mut Reassembly::default(), [first, second]), ["…", "a€b"]);
}

#[test]
fn parts_in_different_alphabets_are_read_each_in_its_own() {
    let first = sent(1, "").part_with(DataCodingScheme(0x00), Body::Septets(vec![0x61, 0x1B]));
    assert_eq!(
        outcomes(&mut Reassembly::default(), [first, sent(2, "ж").part()]),
        ["…", "aж"]
    );
}

#[test]
fn a_message_of_one_part_is_whole_at_once() {
    let only = Sent {
        part_count: 1,
        ..sent(1, "alone")
    };
    assert_eq!(outcomes(&mut Reassembly::default(), [only.part()]), ["alone"]);
}

#[test]
fn parts_without_a_valid_time_stamp_still_find_each_other() {
    let mut reassembly = Reassembly::default();
    let timeless = |part, text| Sent {
        time: None,
        ..sent(part, text)
    };
    assert_eq!(
        outcomes(&mut reassembly, [timeless(2, "b").part(), sent(1, "a").part()]),
        ["…", "ab"]
    );
}

#[test]
fn the_oldest_message_makes_room_and_is_handed_over() {
    let mut reassembly = Reassembly::new(60, 2);
    let mut displaced = Vec::new();
    for reference in 0..4 {
        let part = Sent {
            reference: ConcatenationReference::Bits8(reference),
            ..sent(1, "x")
        }
        .part();
        match reassembly.insert(part) {
            Insertion::Incomplete { displaced: set, .. } => displaced.extend(set),
            other => panic!("{other:?}"),
        }
    }
    let references: Vec<_> = displaced.iter().map(|set| set.key().reference).collect();
    assert_eq!(
        references,
        [ConcatenationReference::Bits8(0), ConcatenationReference::Bits8(1)]
    );
    assert_eq!(reassembly.incomplete().count(), 2);
}

#[test]
fn what_is_given_up_tells_what_is_missing() {
    let mut reassembly = Reassembly::default();
    let parts = [(1, "a"), (3, "c")].map(|(part, text)| {
        Sent {
            part_count: 4,
            ..sent(part, text)
        }
        .part()
    });
    outcomes(&mut reassembly, parts);
    assert!(reassembly.take_older_than(NOON).is_empty());
    let given_up = reassembly.take_older_than(NOON + 1);
    assert_eq!(given_up.len(), 1);
    assert_eq!(given_up[0].missing().collect::<Vec<_>>(), [2, 4]);
    assert_eq!(text_of(&given_up[0]), "ac");
    assert_eq!(reassembly.incomplete().count(), 0);
}

#[test]
fn the_state_survives_a_restart() {
    let mut reassembly = Reassembly::default();
    outcomes(
        &mut reassembly,
        [sent(1, "a"), sent(2, "b"), sent(2, "d").at(NOON + 9)].map(Sent::part),
    );
    let written = serde_json::to_string(&reassembly).expect("the state can be written");
    let mut read: Reassembly = serde_json::from_str(&written).expect("the state can be read");
    assert_eq!(read, reassembly);
    assert_eq!(
        outcomes(&mut read, [sent(1, "a"), sent(1, "c").at(NOON + 9)].map(Sent::part)),
        ["=", "cd"]
    );
}
