//! The module's message storages: all of them are emptied, and watched; and what the module does not store.

use api::v1::{
    CheckStorageRequest, ListMessagesRequest, Message, MessageState, MessageStorage, Modem, ModemHealth, WaitingKind,
};
use end_to_end::{LIMIT, Rig};
use simulator::{Books, Code, Fate, Fault, FaultAction, Phase};

const FROM: &str = "+447700900123";

async fn listed(rig: &Rig) -> anyhow::Result<Vec<Message>> {
    let request = ListMessagesRequest {
        page_size: 1000,
        ..Default::default()
    };
    Ok(rig.broker().sms().list_messages(request).await?.into_inner().messages)
}

async fn storages(rig: &Rig) -> anyhow::Result<Vec<MessageStorage>> {
    let response = rig.broker().sms().check_storage(CheckStorageRequest::default()).await?;
    Ok(response.into_inner().storages)
}

fn fates(books: &Books) -> Vec<Fate> {
    let records = books.deliveries.records.iter();
    records.map(|delivery| delivery.fate().clone()).collect()
}

fn all_deleted(books: &Books) -> bool {
    fates(books).iter().all(|fate| *fate == Fate::Deleted)
}

fn listings(books: &Books) -> usize {
    let commands = books.commands.records.iter();
    commands.filter(|command| command.line.starts_with("AT+CMGL")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_either_storage_are_fetched_when_they_come_and_at_the_start() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    let mut news = rig.news().await?;
    // Nothing is being received any more: the next pass selects the storages as the broker wants them.
    storages(&rig).await?;
    rig.sim().execute("AT+CPMS=\"SM\",\"SM\",\"ME\"").await?;
    for text in ["announced in ME", "announced after it"] {
        rig.sim().deliver_text(FROM, text).await?;
        news.message("an announced message", |message| message.text == text)
            .await?;
        rig.sim().books_when(LIMIT, all_deleted).await?;
    }
    for storage in ["ME", "SM"] {
        rig.sim()
            .execute(&format!("AT+CPMS=\"SM\",\"SM\",\"{storage}\""))
            .await?;
        // Its announcement is for nobody.
        rig.stop_broker().await?;
        rig.sim().deliver_text(FROM, &format!("found in {storage}")).await?;
        rig.start_broker().await?;
        rig.ready("sim1").await?;
        let text = format!("found in {storage}");
        rig.journal()
            .await?
            .message("a message from before", |message| message.text == text)
            .await?;
    }
    rig.sim().books_when(LIMIT, all_deleted).await?;
    assert_eq!(listed(&rig).await?.len(), 4);
    rig.stop().await
}

/// One list of it would be a reply of 50 kB, of which one lost octet loses everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_is_emptied_without_one_giant_list() -> anyhow::Result<()> {
    const COUNT: usize = 255;
    let mut rig = Rig::start().await?;
    rig.stop_broker().await?;
    rig.sim().set_capacity("SM", COUNT).await?;
    for number in 0..COUNT {
        rig.sim().deliver_text(FROM, &format!("number {number}")).await?;
    }
    let stored = |books: &Books| {
        let fates = fates(books);
        fates.len() == COUNT && fates.iter().all(|fate| matches!(fate, Fate::Stored { .. }))
    };
    rig.sim().books_when(LIMIT, stored).await?;
    rig.start_broker().await?;
    let books = rig.sim().books_when(LIMIT, all_deleted).await?;
    assert_eq!(listings(&books), 0);
    let mut texts: Vec<_> = listed(&rig).await?.into_iter().map(|message| message.text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), COUNT);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_does_not_tell_what_is_stored_is_emptied_all_the_same() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.stop_broker().await?;
    for number in 0..5 {
        rig.sim().deliver_text(FROM, &format!("number {number}")).await?;
    }
    let silent = FaultAction::Refuse { code: Code::Error };
    let silent = Fault::on_command("+CMGD=?", Phase::Before, silent).times(0);
    rig.sim().inject(silent).await?;
    rig.start_broker().await?;
    let arrived = |books: &Books| fates(books).len() == 5 && all_deleted(books);
    rig.sim().books_when(LIMIT, arrived).await?;
    assert_eq!(listed(&rig).await?.len(), 5);
    rig.stop().await
}

/// It is found in place of one that has been there for longer, and its own place is found empty afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_while_a_storage_is_emptied_hides_no_other() -> anyhow::Result<()> {
    let mut rig = Rig::start().await?;
    rig.stop_broker().await?;
    for text in ["taken away", "hidden"] {
        rig.sim().deliver_text(FROM, text).await?;
    }
    let stored = |books: &Books| {
        let is_stored = |fate: &Fate| matches!(fate, Fate::Stored { .. });
        fates(books).iter().filter(|fate| is_stored(fate)).count() == 2
    };
    rig.sim().books_when(LIMIT, stored).await?;
    rig.sim().execute("AT+CPMS=\"SM\",\"SM\",\"SM\";+CMGD=0").await?;
    for action in [
        FaultAction::Delay { ms: 1000 },
        FaultAction::Refuse { code: Code::Error },
    ] {
        let fault = Fault::on_command("+CMGD=?", Phase::Before, action);
        rig.sim().inject(fault).await?;
    }
    rig.start_broker().await?;
    let asked = |books: &Books| {
        let mut commands = books.commands.records.iter();
        commands.any(|command| command.line == "AT+CMGD=?")
    };
    rig.sim().books_when(LIMIT, asked).await?;
    rig.sim().deliver_text(FROM, "just now").await?;
    let both = |books: &Books| fates(books).len() == 3 && all_deleted(books);
    rig.sim().books_when(LIMIT, both).await?;
    assert_eq!(listed(&rig).await?.len(), 2);
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_fills_up_is_told_until_it_is_empty() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().set_capacity("SM", 10).await?;
    let refuse = FaultAction::Refuse { code: Code::Cms(320) };
    // Only deletions: what is stored can still be asked for.
    for digit in 0..10 {
        let fault = Fault::on_command(format!("+CMGD={digit}"), Phase::Before, refuse.clone());
        rig.sim().inject(fault.times(0)).await?;
    }
    for number in 0..7 {
        rig.sim().deliver_text(FROM, &format!("number {number}")).await?;
    }
    for number in 0..7 {
        let text = format!("number {number}");
        news.message("a message that stays in the module", |message| message.text == text)
            .await?;
    }
    let filled = storages(&rig).await?;
    let sim = filled
        .iter()
        .find(|storage| storage.name == "SM")
        .cloned()
        .unwrap_or_default();
    assert_eq!((sim.used, sim.total), (7, 10));
    let is_told = |modem: &Modem| {
        let mut reasons = modem.degradations.iter().map(|degradation| degradation.reason.as_str());
        reasons.any(|reason| reason.contains("SM holds 7 of 10"))
    };
    let alarm = news.modem("the alarm", is_told).await?;
    assert_eq!(alarm.health(), ModemHealth::Degraded);
    rig.sim().clear_faults().await?;
    let names: Vec<_> = storages(&rig)
        .await?
        .into_iter()
        .map(|storage| (storage.name, storage.used))
        .collect();
    let empty = |name: &str| (name.to_owned(), 0);
    assert_eq!(names, [empty("ME"), empty("SR"), empty("SM")]);
    news.modem("the end of the alarm", |modem| !is_told(modem)).await?;
    rig.sim().books_when(LIMIT, all_deleted).await?;
    assert_eq!(listed(&rig).await?.len(), 7, "each once, however often it was read");
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_handed_over_is_acknowledged_after_it_is_durable() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().execute("AT+CNMI=2,2,0,1,0").await?;
    for (service, fate) in [(0, Fate::Routed), (1, Fate::Acknowledged)] {
        rig.sim().execute(&format!("AT+CSMS={service}")).await?;
        let text = format!("service {service}");
        rig.sim().deliver_text(FROM, &text).await?;
        news.message("the message", |message| message.text == text).await?;
        let settled = |books: &Books| fates(books).last() == Some(&fate);
        rig.sim().books_when(LIMIT, settled).await?;
    }
    rig.stop().await
}

/// The module then switches its indications off and the network delivers again.
#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_that_comes_too_late_costs_neither_this_message_nor_the_next() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().execute("AT+CSMS=1").await?;
    rig.sim().execute("AT+CNMI=2,2,0,1,0").await?;
    let late = FaultAction::Delay { ms: 2500 };
    // The question that comes before the acknowledgement.
    rig.sim()
        .inject(Fault::on_command("+CSMS?", Phase::Before, late))
        .await?;
    rig.sim().deliver_text(FROM, "delivered twice").await?;
    news.message("the message", |message| message.text == "delivered twice")
        .await?;
    rig.sim().books_when(LIMIT, all_deleted).await?;
    rig.sim().deliver_text(FROM, "the next").await?;
    news.message("the next", |message| message.text == "the next").await?;
    assert_eq!(listed(&rig).await?.len(), 2);
    rig.stop().await
}

/// Made for this test, with the fields of 23.040 9.2.2.1: from +447700900123, 2026-11-12.
fn deliver(first_octet: &str, identifier: &str, coding: &str, user_data: &str) -> String {
    format!("00{first_octet}0C91447700091032{identifier}{coding}62112140820500{user_data}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_message_says_beside_its_text_is_shown() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    // Class 0, class 2, voicemail with a count, ports and an element that nobody knows.
    rig.sim().deliver_pdu(&deliver("04", "00", "F0", "026835")).await?;
    let flash = news.message("a flash message", |_| true).await?;
    assert_eq!(flash.message_class, Some(0));
    rig.sim().deliver_pdu(&deliver("04", "00", "F2", "026835")).await?;
    let for_sim = news.message("a message for the SIM", |_| true).await?;
    assert_eq!(for_sim.message_class, Some(2));
    rig.sim()
        .deliver_pdu(&deliver("44", "00", "04", "0604010280034F"))
        .await?;
    let waiting = news.message("a message waiting indication", |_| true).await?;
    let indication = waiting.message_waiting.unwrap_or_default();
    assert_eq!(
        (indication.kind(), indication.active, indication.store, indication.count),
        (WaitingKind::Voicemail, true, true, Some(3))
    );
    rig.sim()
        .deliver_pdu(&deliver("44", "7F", "F5", "0C0A05040B8423F0220255AA41"))
        .await?;
    let addressed = news.message("a message for a program", |_| true).await?;
    let ports = addressed.application_ports.unwrap_or_default();
    assert_eq!((ports.destination, ports.originator), (2948, 9200));
    assert_eq!(
        (addressed.protocol_identifier, addressed.data.as_ref()),
        (0x7F, b"A".as_slice())
    );
    let unknown: Vec<_> = addressed
        .information_elements
        .iter()
        .map(|e| (e.identifier, e.value.to_vec()))
        .collect();
    assert_eq!(unknown, [(0x22, vec![0x55, 0xAA])]);
    // User data that ends early: what is there is shown, and the whole is kept as it came.
    let cut = deliver("04", "00", "00", "05E832");
    rig.sim().deliver_pdu(&cut).await?;
    let raw = news.message("a damaged message", |_| true).await?;
    assert_eq!(
        (raw.state(), raw.address.as_str(), raw.text.as_str()),
        (MessageState::Raw, FROM, "he")
    );
    assert_eq!(raw.pdus, [cut]);
    rig.sim().books_when(LIMIT, all_deleted).await?;
    rig.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_replacing_type_takes_the_place_of_the_one_before() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut news = rig.news().await?;
    rig.sim().deliver_pdu(&deliver("04", "42", "00", "026834")).await?;
    let old = news.message("the first", |_| true).await?;
    rig.sim().deliver_pdu(&deliver("04", "42", "00", "026835")).await?;
    let replaced = news
        .message("the first is replaced", |message| !message.replaced_by.is_empty())
        .await?;
    assert_eq!(replaced.message_id, old.message_id);
    let shown = listed(&rig).await?;
    let ids: Vec<_> = shown.iter().map(|message| message.message_id.clone()).collect();
    assert_eq!(ids, [replaced.replaced_by]);
    rig.stop().await
}
