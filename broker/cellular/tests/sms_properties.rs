//! What holds for every message, not only for those that somebody wrote down.

use cellular::sms::address::{Address, TypeOfAddress};
use cellular::sms::alphabet::NationalLanguage;
use cellular::sms::compose::{
    ComposeError, Layout, Ports, SubmitOptions, TextCoding, TextOptions, compose_data, compose_text,
};
use cellular::sms::data_coding::{DataCodingScheme, MessageClass};
use cellular::sms::identity::MessageIdentity;
use cellular::sms::pdu::{DecodeError, Deliver, ProtocolIdentifier, StatusReport, Submit};
use cellular::sms::reassembly::{Content, Insertion, Part, Reassembly};
use cellular::sms::status::Status;
use cellular::sms::timestamp::{Timestamp, TimestampOctets};
use cellular::sms::user_data::{
    Body, Concatenation, ConcatenationReference, InformationElement, SpecialMessageIndication, UserData, UserDataHeader,
};
use cellular::sms::validity::{EnhancedValidity, RelativeValidity, ValidityPeriod};
use cellular::sms::{Direction, Pdu, Tpdu};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn address() -> impl Strategy<Value = Address> {
    let is_number = |octet: &u8| TypeOfAddress(*octet) != TypeOfAddress::ALPHANUMERIC && octet >> 4 & 0b111 != 5;
    let number =
        (any::<u8>().prop_filter("a number", is_number), "[0-9*#abc]{0,20}").prop_map(|(octet, value)| Address {
            type_of_address: TypeOfAddress(octet),
            value,
        });
    let name = "[A-Za-z0-9 .@_-]{0,11}".prop_map(|text| Address::alphanumeric(&text).expect("eleven septets"));
    prop_oneof![number, name]
}

fn element() -> impl Strategy<Value = InformationElement> {
    let reference = prop_oneof![
        any::<u8>().prop_map(ConcatenationReference::Bits8),
        any::<u16>().prop_map(ConcatenationReference::Bits16)
    ];
    let concatenation = (reference, 1u8.., any::<u8>()).prop_map(|(reference, part_count, part)| {
        let part = part % part_count + 1;
        InformationElement::Concatenation(Concatenation {
            reference,
            part_count,
            part,
        })
    });
    prop_oneof![
        concatenation,
        any::<(u8, u8)>().prop_map(|(indication, count)| {
            InformationElement::MessageWaiting(SpecialMessageIndication { indication, count })
        }),
        any::<(u8, u8)>().prop_map(|(destination, originator)| InformationElement::Ports8 {
            destination,
            originator
        }),
        any::<(u16, u16)>().prop_map(|(destination, originator)| InformationElement::Ports16 {
            destination,
            originator
        }),
        any::<u8>().prop_map(InformationElement::SingleShift),
        any::<u8>().prop_map(InformationElement::LockingShift),
        (0x0Au8..0x20, vec(any::<u8>(), 0..10))
            .prop_map(|(identifier, value)| InformationElement::Other { identifier, value }),
    ]
}

fn header() -> impl Strategy<Value = Option<UserDataHeader>> {
    prop::option::of(vec(element(), 0..5).prop_map(|elements| UserDataHeader { elements }))
}

/// User data with a coding that it fits.
fn user_data() -> impl Strategy<Value = (DataCodingScheme, UserData)> {
    let coded = any::<u8>().prop_map(DataCodingScheme);
    (coded, header(), vec(0u8..128, 0..=68), vec(any::<u8>(), 0..=60)).prop_map(|(scheme, header, septets, octets)| {
        let body = if scheme.counts_septets() {
            Body::Septets(septets)
        } else {
            Body::Octets(octets)
        };
        (scheme, UserData { header, body })
    })
}

fn deliver() -> impl Strategy<Value = Tpdu> {
    (
        any::<[bool; 4]>(),
        address(),
        any::<u8>(),
        any::<[u8; 7]>(),
        user_data(),
    )
        .prop_map(
            |([more, looped, reply, report], originating_address, identifier, time, (scheme, user_data))| {
                Tpdu::Deliver(Deliver {
                    more_messages_to_send: more,
                    loop_prevention: looped,
                    reply_path: reply,
                    status_report_indication: report,
                    originating_address,
                    protocol_identifier: ProtocolIdentifier(identifier),
                    data_coding_scheme: scheme,
                    service_centre_timestamp: TimestampOctets(time),
                    user_data,
                })
            },
        )
}

fn validity_period() -> impl Strategy<Value = Option<ValidityPeriod>> {
    prop::option::of(prop_oneof![
        any::<u8>().prop_map(|octet| ValidityPeriod::Relative(RelativeValidity(octet))),
        any::<[u8; 7]>().prop_map(|octets| ValidityPeriod::Absolute(TimestampOctets(octets))),
        any::<[u8; 7]>().prop_map(|octets| ValidityPeriod::Enhanced(EnhancedValidity(octets))),
    ])
}

fn submit() -> impl Strategy<Value = Tpdu> {
    (
        any::<[bool; 3]>(),
        any::<(u8, u8)>(),
        address(),
        validity_period(),
        user_data(),
    )
        .prop_map(
            |(
                [reject, reply, report],
                (reference, identifier),
                destination_address,
                validity_period,
                (scheme, user_data),
            )| {
                Tpdu::Submit(Submit {
                    reject_duplicates: reject,
                    reply_path: reply,
                    status_report_request: report,
                    message_reference: reference,
                    destination_address,
                    protocol_identifier: ProtocolIdentifier(identifier),
                    data_coding_scheme: scheme,
                    validity_period,
                    user_data,
                })
            },
        )
}

fn status_report() -> impl Strategy<Value = Tpdu> {
    let times = any::<([u8; 7], [u8; 7])>();
    (
        any::<[bool; 3]>(),
        any::<(u8, u8)>(),
        address(),
        times,
        prop::option::of(any::<u8>()),
        prop::option::of(user_data()),
    )
        .prop_map(
            |([more, looped, command], (reference, status), recipient_address, times, identifier, coded)| {
                let (data_coding_scheme, user_data) = coded.unzip();
                Tpdu::StatusReport(StatusReport {
                    more_messages_to_send: more,
                    loop_prevention: looped,
                    answers_command: command,
                    message_reference: reference,
                    recipient_address,
                    service_centre_timestamp: TimestampOctets(times.0),
                    discharge_time: TimestampOctets(times.1),
                    status: Status(status),
                    protocol_identifier: identifier.map(ProtocolIdentifier),
                    data_coding_scheme,
                    user_data,
                })
            },
        )
}

fn pdu() -> impl Strategy<Value = (Pdu, Direction)> {
    let tpdu = prop_oneof![
        (deliver(), Just(Direction::FromNetwork)),
        (submit(), Just(Direction::ToNetwork)),
        (status_report(), Just(Direction::FromNetwork)),
    ];
    (prop::option::of(address()), tpdu).prop_map(|(service_centre, (tpdu, direction))| {
        // The length of a service centre address counts octets, so an odd septet at the end of a name cannot be told.
        let service_centre = service_centre.filter(|address| !address.is_alphanumeric());
        (Pdu { service_centre, tpdu }, direction)
    })
}

fn coding() -> impl Strategy<Value = TextOptions> {
    let languages = prop::sample::subsequence(NationalLanguage::ALL.to_vec(), 0..4);
    let coding = prop_oneof![
        Just(TextCoding::Cheapest),
        Just(TextCoding::Gsm7),
        Just(TextCoding::Ucs2)
    ];
    (coding, languages, layout()).prop_map(|(coding, national_languages, layout)| TextOptions {
        coding,
        national_languages,
        transliterate: false,
        layout,
    })
}

/// Everything that a sender can ask the service centre for.
fn submit_options() -> impl Strategy<Value = SubmitOptions> {
    let class = prop_oneof![
        Just(MessageClass::Class0),
        Just(MessageClass::Class1),
        Just(MessageClass::Class2),
        Just(MessageClass::Class3)
    ];
    let validity_period = prop_oneof![
        any::<u32>().prop_map(|seconds| ValidityPeriod::Relative(RelativeValidity::at_least(seconds))),
        (631_238_400i64..3_786_825_600).prop_map(|seconds| {
            let time = Timestamp::from_unix_seconds(seconds, 0).expect("in the range of two digits");
            ValidityPeriod::Absolute(time.into())
        }),
        (any::<bool>(), prop::option::of(any::<u32>()))
            .prop_map(|(single_shot, seconds)| ValidityPeriod::Enhanced(EnhancedValidity::new(single_shot, seconds))),
    ];
    (
        prop::option::of(class),
        prop::option::of(validity_period),
        any::<[bool; 3]>(),
        prop::option::of(1u8..=7),
    )
        .prop_map(
            |(class, validity_period, [status_report_request, reject_duplicates, reply_path], replace_type)| {
                SubmitOptions {
                    class,
                    validity_period,
                    status_report_request,
                    protocol_identifier: replace_type
                        .and_then(ProtocolIdentifier::from_replace_type)
                        .unwrap_or_default(),
                    reject_duplicates,
                    reply_path,
                }
            },
        )
}

fn layout() -> impl Strategy<Value = Layout> {
    (any::<bool>(), prop::option::of(any::<(u16, u16)>())).prop_map(|(wide_reference, ports)| Layout {
        wide_reference,
        ports: ports.map(|(destination, originator)| Ports {
            destination,
            originator,
        }),
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,400}",
        "\\PC{0,200}",
        "[a-zA-Z0-9 \\[\\]{}€^~|\\\\]{0,700}",
        "[ğĞışŞİçÇa-z€ ]{0,500}",
        "[\u{0985}-\u{098c}0-9a-z।A-Z ]{0,400}",
        "[😀-😏a-z]{0,200}",
    ]
}

const TIME: i64 = 1_700_000_000;

/// The message that the network makes of one that was sent, over the octets that really travel.
fn transmit(submit: &Submit, unix_seconds: i64) -> Deliver {
    let sent = Pdu {
        service_centre: None,
        tpdu: Tpdu::Submit(submit.clone()),
    };
    let encoded = sent.encode().expect("a composed message is valid");
    assert_eq!(Pdu::decode_hex(&encoded.hex, Direction::ToNetwork), Ok(sent));
    let timestamp = Timestamp::from_unix_seconds(unix_seconds, 4).expect("a time");
    let received = Tpdu::Deliver(Deliver {
        more_messages_to_send: false,
        loop_prevention: false,
        reply_path: submit.reply_path,
        status_report_indication: false,
        originating_address: submit.destination_address.clone(),
        protocol_identifier: submit.protocol_identifier,
        data_coding_scheme: submit.data_coding_scheme,
        service_centre_timestamp: timestamp.into(),
        user_data: submit.user_data.clone(),
    });
    let encoded = Pdu {
        service_centre: None,
        tpdu: received,
    }
    .encode()
    .expect("a composed message is valid");
    match Pdu::decode_hex(&encoded.hex, Direction::FromNetwork)
        .expect("a valid message")
        .tpdu
    {
        Tpdu::Deliver(deliver) => deliver,
        other => panic!("an SMS-DELIVER became {other:?}"),
    }
}

fn part(deliver: Deliver) -> Option<Part> {
    let pdu = Pdu {
        service_centre: None,
        tpdu: Tpdu::Deliver(deliver.clone()),
    };
    Part::new(&deliver, MessageIdentity::new("sim", &pdu))
}

/// Receives the parts in the order given and returns what they say together.
fn receive(delivers: Vec<Deliver>) -> Option<Content> {
    if let [single] = delivers.as_slice()
        && single.user_data.concatenation().is_none()
    {
        return Some(match single.user_data.text(single.data_coding_scheme) {
            Some(text) => Content::Text(text),
            None => match single.user_data.body.clone() {
                Body::Septets(octets) | Body::Octets(octets) => Content::Data(octets),
            },
        });
    }
    let mut reassembly = Reassembly::default();
    let count = delivers.len();
    for (position, deliver) in delivers.into_iter().enumerate() {
        match reassembly.insert(part(deliver)?) {
            Insertion::Complete(message) if position + 1 == count => return Some(message.content()),
            Insertion::Incomplete { displaced: None, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    None
}

fn destination() -> cellular::sms::PhoneNumber {
    "+4915112345678".parse().expect("a number")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn decoding_undoes_encoding((pdu, direction) in pdu()) {
        // Header and body may be too much for 140 octets together; then there is nothing to decode.
        if let Ok(encoded) = pdu.encode() {
            prop_assert_eq!(Pdu::decode_hex(&encoded.hex, direction), Ok(pdu.clone()));
            let padded = format!("{}FFFF", encoded.hex);
            prop_assert_eq!(Pdu::decode_hex_with_length(&padded, encoded.tpdu_length, direction), Ok(pdu));
        }
    }

    #[test]
    fn the_stated_length_tells_whether_the_service_centre_is_there((pdu, direction) in pdu()) {
        if let Ok(encoded) = pdu.encode() {
            let tpdu = &encoded.hex[encoded.hex.len() - encoded.tpdu_length * 2..];
            let decoded = Pdu::decode_hex_with_length(tpdu, encoded.tpdu_length, direction);
            prop_assert_eq!(decoded, Ok(Pdu { service_centre: None, tpdu: pdu.tpdu }));
        }
    }

    #[test]
    fn arbitrary_octets_never_panic_and_what_is_read_is_stable(octets in vec(any::<u8>(), 0..200)) {
        for direction in [Direction::FromNetwork, Direction::ToNetwork] {
            let pdu = match Pdu::decode(&octets, direction) {
                Ok(pdu) => pdu,
                Err(DecodeError::UserDataTruncated { partial, .. }) => *partial,
                Err(_) => continue,
            };
            let _ = (pdu.tpdu.text(), MessageIdentity::new("sim", &pdu));
            if let Ok(encoded) = pdu.encode() {
                let again = Pdu::decode_hex(&encoded.hex, direction);
                prop_assert_eq!(again.map(|again| again.tpdu.text()), Ok(pdu.tpdu.text()));
            }
        }
    }

    #[test]
    fn every_prefix_of_a_pdu_is_an_error_or_a_shorter_report((pdu, direction) in pdu()) {
        if let Ok((octets, _)) = pdu.encode_octets() {
            for length in 0..octets.len() {
                let decoded = Pdu::decode(&octets[..length], direction);
                let is_report = decoded.as_ref().is_ok_and(|pdu| matches!(pdu.tpdu, Tpdu::StatusReport(_)));
                prop_assert!(decoded.is_err() || is_report, "{} of {} octets", length, octets.len());
            }
        }
    }

    #[test]
    fn arbitrary_text_is_no_reason_to_panic(text in "\\PC{0,100}") {
        let _ = Pdu::decode_hex(&text, Direction::FromNetwork);
        let _ = text.parse::<cellular::sms::PhoneNumber>();
    }

    #[test]
    fn a_text_arrives_as_it_was_composed(
        text in text(), options in coding(), wishes in submit_options(), reference: u16, reversed: bool
    ) {
        match compose_text(&text, &options) {
            Ok(composition) => {
                let submits = composition.submits(&destination(), reference, &wishes);
                prop_assert_eq!(submits.len(), composition.segment_count());
                prop_assert!(composition.part_sizes().all(|size| size.units <= size.capacity));
                prop_assert_eq!(composition.text(), Some(text.clone()));
                let mut delivers: Vec<_> = submits.iter().map(|submit| transmit(submit, TIME)).collect();
                if reversed {
                    delivers.reverse();
                }
                prop_assert_eq!(receive(delivers), Some(Content::Text(text)));
            }
            Err(error) => {
                prop_assert!(matches!(error, ComposeError::Unencodable(_)), "{}", error);
                prop_assert_eq!(options.coding, TextCoding::Gsm7);
            }
        }
    }

    #[test]
    fn an_enhanced_period_is_never_shorter_than_asked_up_to_the_longest(single_shot: bool, seconds: u32) {
        let validity = EnhancedValidity::new(single_shot, Some(seconds));
        let stated = validity.seconds().expect("a valid period").expect("a period");
        prop_assert!(stated >= seconds.min(RelativeValidity::LONGEST.seconds()));
        prop_assert_eq!(validity.is_single_shot(), single_shot);
    }

    #[test]
    fn data_arrive_as_they_were_composed(data in vec(any::<u8>(), 0..1000), layout in layout(), reference: u16) {
        let composition = compose_data(&data, layout).expect("short enough");
        let submits = composition.submits(&destination(), reference, &SubmitOptions::default());
        let delivers = submits.iter().map(|submit| transmit(submit, TIME)).collect();
        prop_assert_eq!(receive(delivers), Some(Content::Data(data)));
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter(
        (texts, order) in vec("[a-zж]{200,500}", 1..4).prop_flat_map(|texts| {
            let delivers: Vec<Deliver> = texts
                .iter()
                .enumerate()
                .flat_map(|(message, text)| {
                    let composition = compose_text(text, &TextOptions::default()).expect("short enough");
                    // Two of three messages share a reference, a day apart; the third has its own.
                    let (reference, day) = if message == 2 { (9, 0) } else { (7, message) };
                    let time = TIME + i64::try_from(day).expect("small") * 86_400;
                    let submits = composition.submits(&destination(), reference, &SubmitOptions::default());
                    submits.into_iter().map(move |submit| transmit(&submit, time))
                })
                .collect();
            (Just(texts), Just(delivers).prop_shuffle())
        })
    ) {
        let mut reassembly = Reassembly::default();
        let mut whole = BTreeSet::new();
        for deliver in order {
            match reassembly.insert(part(deliver).expect("a part")) {
                Insertion::Complete(message) => {
                    let Content::Text(text) = message.content() else { panic!("a text became data") };
                    whole.insert(text);
                }
                Insertion::Incomplete { displaced, .. } => prop_assert_eq!(displaced, None),
                Insertion::Duplicate => prop_assert!(false, "there are no duplicates"),
            }
        }
        prop_assert_eq!(whole, texts.into_iter().collect());
        prop_assert_eq!(reassembly.incomplete().count(), 0);
    }
}
