//! `GET /metrics`: a page that a scraper understands, whose sums are those of the calls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use api::v1::stream_call_request::Request;
use api::v1::stream_call_response::Response;
use api::v1::{AudioStatistics, StreamCallClear, StreamCallHangUp};
use end_to_end::{LIMIT, Rig, Setup, until};
use simulator::CallAudio;
use simulator::core::AudioAccount;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::alone;
use crate::call::{answered, counter, read, read_to_end};

/// A rig that serves metrics, and where.
async fn measured() -> anyhow::Result<(Rig, SocketAddr)> {
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let rig = Rig::with(Setup {
        sections: format!("[metrics]\nlisten = \"{address}\"\n"),
        ..Setup::default()
    })
    .await?;
    Ok((rig, address))
}

/// What is answered to a request line: status line and body.
async fn ask(address: SocketAddr, line: &str) -> anyhow::Result<(String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await??;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// Reads a page as a strict scraper does: every family has its HELP and TYPE once, before its samples, which stand together;
/// no sample comes twice; histograms ascend and end with `+Inf`, which is their count. Returns samples by name and labels.
fn parse(page: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    let mut last_bucket: Option<(String, f64)> = None;
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap_or_default().to_owned();
            anyhow::ensure!(families.insert(family.clone()), "{family} begins twice");
            kind.clear();
        } else if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (name, typed) = typed.split_once(' ').unwrap_or_default();
            anyhow::ensure!(name == family && kind.is_empty(), "{line}: not after its HELP");
            anyhow::ensure!(["counter", "gauge", "histogram"].contains(&typed), "{line}");
            typed.clone_into(&mut kind);
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_default();
            let name = series.split('{').next().unwrap_or_default();
            let labels = series.strip_prefix(name).unwrap_or_default();
            anyhow::ensure!(
                labels.is_empty() || (labels.starts_with('{') && labels.ends_with("\"}") && !labels.contains(",}")),
                "{line}: labels"
            );
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '_';
            anyhow::ensure!(!name.is_empty() && name.chars().all(valid), "{line}: name");
            let suffix = name.strip_prefix(family.as_str());
            let fits = match suffix {
                Some("") => kind != "histogram",
                Some("_bucket" | "_sum" | "_count") => kind == "histogram",
                _ => false,
            };
            anyhow::ensure!(fits, "{line}: in the family {family} ({kind})");
            let number: f64 = value.replace("Inf", "inf").parse()?;
            anyhow::ensure!(kind == "gauge" || number >= 0.0, "{line}: a negative count");
            anyhow::ensure!(
                kind != "counter" || name.ends_with("_total"),
                "{line}: a counter's name"
            );
            match suffix {
                Some("_bucket") => {
                    let below = last_bucket.as_ref().filter(|(bound, _)| bound != "+Inf");
                    anyhow::ensure!(below.is_none_or(|(_, below)| *below <= number), "{line}: falls");
                    let bound = series.rsplit("le=\"").next().unwrap_or_default();
                    last_bucket = Some((bound.trim_end_matches("\"}").to_owned(), number));
                }
                Some("_count") => {
                    anyhow::ensure!(
                        last_bucket == Some(("+Inf".to_owned(), number)),
                        "{line}: not its buckets"
                    );
                    last_bucket = None;
                }
                _ => {}
            }
            anyhow::ensure!(samples.insert(series.to_owned(), number).is_none(), "{line}: twice");
        }
    }
    Ok(samples)
}

async fn scrape(address: SocketAddr) -> anyhow::Result<BTreeMap<String, f64>> {
    let (status, page) = ask(address, "GET /metrics").await?;
    anyhow::ensure!(status == "HTTP/1.1 200 OK", "{status}");
    parse(&page)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_adds_calls_up_and_counters_never_fall() -> anyhow::Result<()> {
    let _alone = alone().await;
    let (rig, address) = measured().await?;
    let before = scrape(address).await?;
    let of = |name: &str| format!("{name}{{modem=\"sim1\"}}");
    assert_eq!(before["modem_stage{modem=\"sim1\",stage=\"ready\"}"], 1.0);
    assert_eq!(before[&of("modem_pcm_rx_bytes_total")], 0.0);
    assert!(!before.contains_key(&of("modem_play_queue_ms")), "there is no call");

    let mut sums = AudioStatistics::default();
    let mut last = before;
    for _ in 0..2 {
        let (_, mut stream) = answered(&rig, CallAudio::Counter).await?;
        let tenth = |response| matches!(response, Response::Audio(frame) if frame.first_sample >= 1440).then_some(());
        read(&mut stream, "a few frames", tenth).await?;
        stream.send(client::call::audio(counter(8000)))?;
        stream.send(Request::Clear(StreamCallClear {}))?;
        stream.send(client::call::mark("gone"))?;
        read(&mut stream, "the mark", |response| {
            matches!(response, Response::Mark(_)).then_some(())
        })
        .await?;
        let during = scrape(address).await?;
        assert_eq!(during["modem_calls{modem=\"sim1\",state=\"active\"}"], 1.0);
        assert!(during.contains_key(&of("modem_play_queue_ms")));
        stream.send(Request::HangUp(StreamCallHangUp {}))?;
        let over = read_to_end(&mut stream).await?.unwrap_or_default();
        let statistics = over.audio_statistics.unwrap_or_default();
        sums.pcm_open_attempts += statistics.pcm_open_attempts;
        sums.downlink_byte_slips += statistics.downlink_byte_slips;
        sums.uplink_samples += statistics.uplink_samples;
        sums.uplink_underruns += statistics.uplink_underruns;
        for (series, value) in &during {
            let counts = series.contains("_total") || series.contains("_bucket") || series.contains("_count");
            assert!(!counts || value >= last.get(series).unwrap_or(&0.0), "{series} fell");
        }
        last = during;
    }
    // The port is closed a moment after the call's end is told.
    let closed = async || {
        let page = scrape(address).await?;
        Ok((!page.contains_key(&of("modem_play_queue_ms"))).then_some(page))
    };
    let page = until("the port is closed", LIMIT, closed).await?;
    // The virtual modem kept books of its own.
    let kept = |books: &simulator::Books| {
        books
            .calls
            .records
            .iter()
            .filter_map(|call| call.audio.clone())
            .collect()
    };
    let is_whole = |books: &simulator::Books| {
        let accounts: Vec<AudioAccount> = kept(books);
        accounts.len() == 2
    };
    let accounts: Vec<AudioAccount> = kept(&rig.sim().books_when(LIMIT, is_whole).await?);
    let sent: u64 = accounts
        .iter()
        .map(|of| of.downlink_bytes - of.downlink_dropped_bytes)
        .sum();
    assert_eq!(page[&of("modem_pcm_rx_bytes_total")], sent as f64);
    // A frame may go out between the end that is told and the close of the port.
    assert!(page[&of("modem_pcm_tx_bytes_total")] >= (sums.uplink_samples * 2) as f64);
    for (name, sum) in [
        ("modem_cpcmreg_attempts_total", u64::from(sums.pcm_open_attempts)),
        ("modem_pcm_rx_byte_slips_total", sums.downlink_byte_slips),
        ("modem_pcm_tx_underruns_total", sums.uplink_underruns),
        ("modem_clear_latency_ms_count", 2),
        ("modem_call_talked_seconds_count", 2),
    ] {
        assert_eq!(page[&of(name)], sum as f64, "{name}");
    }
    let ended = "modem_calls_total{modem=\"sim1\",direction=\"incoming\",cause=\"local\"}";
    assert_eq!(page[ended], 2.0);
    assert!(page[&of("modem_pcm_rx_gap_seconds_count")] > 0.0);

    let table = [("GET /", "404"), ("POST /metrics", "405"), ("GET /metrics/x", "404")];
    for (line, status) in table {
        let (answer, _) = ask(address, line).await?;
        assert!(answer.contains(status), "{line}: {answer}");
    }
    rig.stop().await
}
