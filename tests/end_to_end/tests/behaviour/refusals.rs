//! What is refused, and how it is said: a code for machines, a reason, and the field where one is wrong.

use api::v1::send_message_request::Content;
use api::v1::{
    CommitCursorRequest, DialRequest, ErrorReason, EventFilter, ExecuteAtCommandRequest, GetCallRequest,
    GetMessageRequest, GetModemRequest, HangUpRequest, ListCallsRequest, ListEventsRequest, ListMessagesRequest,
    SendDtmfRequest, SendMessageRequest, WatchEventsRequest,
};
use end_to_end::{Rig, Setup, invalid_fields, reason};
use tonic::{Code, Response, Status};

fn refused<T>(outcome: Result<Response<T>, Status>) -> Status {
    match outcome {
        Ok(_) => panic!("it was not refused"),
        Err(status) => status,
    }
}

fn message(to: &str, content: Option<Content>) -> SendMessageRequest {
    SendMessageRequest {
        address: to.to_owned(),
        content,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_range_is_named_by_its_field() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let hello = || Some(Content::Text("hello".to_owned()));
    let (number, other) = (ErrorReason::PhoneNumberInvalid, ErrorReason::FieldInvalid);
    let days = |days: i64| {
        Some(prost_types::Duration {
            seconds: days * 86_400,
            nanos: 0,
        })
    };
    let table = [
        (
            "address",
            number,
            refused(broker.sms().send_message(message("", hello())).await),
        ),
        (
            "address",
            number,
            refused(broker.sms().send_message(message("call me", hello())).await),
        ),
        (
            "content",
            other,
            refused(broker.sms().send_message(message("+447700900123", None)).await),
        ),
        (
            "data",
            other,
            refused(
                broker
                    .sms()
                    .send_message(message("+447700900123", Some(Content::Data(Default::default()))))
                    .await,
            ),
        ),
        ("request_id", other, {
            let request = SendMessageRequest {
                request_id: "17".to_owned(),
                ..message("+447700900123", hello())
            };
            refused(broker.sms().send_message(request).await)
        }),
        ("validity", other, {
            let request = SendMessageRequest {
                validity: days(64 * 7),
                ..message("+447700900123", hello())
            };
            refused(broker.sms().send_message(request).await)
        }),
        ("page_size", other, {
            refused(
                broker
                    .sms()
                    .list_messages(ListMessagesRequest {
                        page_size: 1001,
                        ..Default::default()
                    })
                    .await,
            )
        }),
        ("page_token", other, {
            refused(
                broker
                    .sms()
                    .list_messages(ListMessagesRequest {
                        page_token: "nonsense".to_owned(),
                        ..Default::default()
                    })
                    .await,
            )
        }),
        (
            "page_size",
            other,
            refused(
                broker
                    .voice()
                    .list_calls(ListCallsRequest {
                        page_size: 1001,
                        ..Default::default()
                    })
                    .await,
            ),
        ),
        (
            "page_size",
            other,
            refused(
                broker
                    .events()
                    .list_events(ListEventsRequest {
                        page_size: 1001,
                        ..Default::default()
                    })
                    .await,
            ),
        ),
        ("consumer", other, {
            refused(
                broker
                    .events()
                    .commit_cursor(CommitCursorRequest {
                        consumer: "a b".to_owned(),
                        ..Default::default()
                    })
                    .await,
            )
        }),
        ("filter.kinds", other, {
            let filter = Some(EventFilter {
                kinds: vec![99],
                modems: Vec::new(),
            });
            refused(
                broker
                    .events()
                    .watch_events(WatchEventsRequest {
                        start: None,
                        filter,
                        ..Default::default()
                    })
                    .await,
            )
        }),
        (
            "number",
            number,
            refused(
                broker
                    .voice()
                    .dial(DialRequest {
                        number: "**21*1#".to_owned(),
                        ..Default::default()
                    })
                    .await,
            ),
        ),
        (
            "number",
            number,
            refused(
                broker
                    .voice()
                    .dial(DialRequest {
                        number: "112".to_owned(),
                        ..Default::default()
                    })
                    .await,
            ),
        ),
        (
            "tones",
            other,
            refused(
                broker
                    .voice()
                    .send_dtmf(SendDtmfRequest {
                        tones: "1x".to_owned(),
                        ..Default::default()
                    })
                    .await,
            ),
        ),
        (
            "call_id",
            other,
            refused(broker.voice().get_call(GetCallRequest::default()).await),
        ),
        ("command", other, refused(execute(&rig, "AT+CMGS=10").await)),
        ("timeout", other, {
            let request = ExecuteAtCommandRequest {
                command: "AT".to_owned(),
                timeout: days(1),
                ..Default::default()
            };
            refused(broker.diagnostics().execute_at_command(request).await)
        }),
    ];
    for (field, expected, status) in table {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::InvalidArgument, Some(expected)),
            "{field}: {status:?}"
        );
        assert_eq!(invalid_fields(&status), [field], "{status:?}");
    }
    assert_eq!(rig.sim().books().await?.submits.total(), 0);
    rig.stop().await
}

async fn execute(rig: &Rig, command: &str) -> Result<Response<api::v1::ExecuteAtCommandResponse>, Status> {
    let request = ExecuteAtCommandRequest {
        command: command.to_owned(),
        ..Default::default()
    };
    rig.broker().diagnostics().execute_at_command(request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_not_found() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let broker = rig.broker();
    let id = uuid::Uuid::new_v4().to_string();
    let table = [
        (
            ErrorReason::ModemNotFound,
            refused(
                broker
                    .modems()
                    .get_modem(GetModemRequest {
                        modem: "sim9".to_owned(),
                    })
                    .await,
            ),
        ),
        (
            ErrorReason::MessageNotFound,
            refused(
                broker
                    .sms()
                    .get_message(GetMessageRequest { message_id: id.clone() })
                    .await,
            ),
        ),
        (
            ErrorReason::CallNotFound,
            refused(broker.voice().get_call(GetCallRequest { call_id: id.clone() }).await),
        ),
        (
            ErrorReason::CallNotFound,
            refused(broker.voice().hang_up(HangUpRequest { call_id: id }).await),
        ),
        (
            ErrorReason::CallNotFound,
            refused(broker.voice().hang_up(HangUpRequest::default()).await),
        ),
    ];
    for (expected, status) in table {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::NotFound, Some(expected)),
            "{status:?}"
        );
    }
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_more_than_255_parts_is_refused_with_their_number() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let text = Some(Content::Text("x".repeat(153 * 255 + 1)));
    let status = refused(rig.broker().sms().send_message(message("+447700900123", text)).await);
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::InvalidArgument, Some(ErrorReason::MessageTooLong))
    );
    assert_eq!(client::status::metadata(&status)["segment_count"], "256");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_commands_need_the_configuration_to_allow_them() -> anyhow::Result<()> {
    let rig = Rig::with(Setup {
        raw_at: false,
        ..Setup::default()
    })
    .await?;
    let status = refused(execute(&rig, "AT+CSQ").await);
    assert_eq!(
        (status.code(), reason(&status)),
        (Code::FailedPrecondition, Some(ErrorReason::NotEnabled))
    );
    assert!(status.message().contains("diagnostics.raw_at"), "{}", status.message());
    rig.stop().await?;

    let rig = Rig::start().await?;
    let response = execute(&rig, "AT+CSQ").await?.into_inner();
    assert!(
        response.ok && response.result == "OK" && response.lines[0].starts_with("+CSQ: "),
        "{response:?}"
    );
    let response = execute(&rig, "AT+NOSUCHTHING").await?.into_inner();
    assert!(!response.ok && response.lines.is_empty(), "{response:?}");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_modem_refuses_what_needs_it_and_may_be_asked_again() -> anyhow::Result<()> {
    use tonic_types::StatusExt as _;
    let rig = Rig::with(Setup {
        unplugged: true,
        ..Setup::default()
    })
    .await?;
    let dial = DialRequest {
        number: "+447700900123".to_owned(),
        ..Default::default()
    };
    for status in [
        refused(rig.broker().voice().dial(dial).await),
        refused(execute(&rig, "AT").await),
    ] {
        assert_eq!(
            (status.code(), reason(&status)),
            (Code::Unavailable, Some(ErrorReason::ModemDisconnected)),
            "{status:?}"
        );
        assert!(status.get_details_retry_info().is_some());
    }
    rig.stop().await
}
