//! `LocationService`.

use api::v1::location_service_server::LocationService;
use api::v1::{
    Fix, GetFixRequest, GetFixResponse, StreamFixesRequest, StreamFixesResponse, StreamNmeaRequest, StreamNmeaResponse,
};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status};

use super::{Context, ResponseStream, convert};
use crate::modem::{self, ModemHandle};
use crate::refusal::Refusal;
use crate::resource::{self, PortRole};
use crate::tail::Reader;

#[tonic::async_trait]
impl LocationService for Context {
    async fn get_fix(&self, request: Request<GetFixRequest>) -> Result<Response<GetFixResponse>, Status> {
        let modem = self.receiver(&request.into_inner().modem)?;
        let fix = modem.ask(|reply| modem::Request::GetFix { reply }).await?;
        let fix = fix.as_ref().map(self::fix);
        Ok(Response::new(GetFixResponse { fix }))
    }

    type StreamFixesStream = ResponseStream<StreamFixesResponse>;

    async fn stream_fixes(
        &self,
        request: Request<StreamFixesRequest>,
    ) -> Result<Response<Self::StreamFixesStream>, Status> {
        let modem = self.receiver(&request.into_inner().modem)?;
        let reader = modem.location().follow_fixes();
        let stream = follow(reader, self.shutdown.clone()).map(|next| {
            let (lost_fixes, fix) = next?;
            let fix = Some(self::fix(&fix));
            Ok(StreamFixesResponse { fix, lost_fixes })
        });
        Ok(Response::new(Box::pin(stream)))
    }

    type StreamNmeaStream = ResponseStream<StreamNmeaResponse>;

    async fn stream_nmea(
        &self,
        request: Request<StreamNmeaRequest>,
    ) -> Result<Response<Self::StreamNmeaStream>, Status> {
        let modem = self.receiver(&request.into_inner().modem)?;
        let ports = modem.snapshot().status.ports;
        if !ports.is_empty() && !ports.iter().any(|port| port.role == PortRole::Nmea) {
            let cause = "this composition has no NMEA port, or none is named in [modem.ports]; fixes are asked for by an \
                         AT command";
            return Err(Refusal::LocationNotAvailable {
                cause: cause.to_owned(),
            }
            .into());
        }
        let reader = modem.location().follow_sentences();
        let stream = follow(reader, self.shutdown.clone()).map(|next| {
            let (lost_sentences, sentence) = next?;
            Ok(StreamNmeaResponse {
                sentence: sentence.to_string(),
                lost_sentences,
            })
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

impl Context {
    fn receiver(&self, modem: &str) -> Result<&ModemHandle, Refusal> {
        let modem = self.modems.find(modem)?;
        if modem.location().enabled {
            Ok(modem)
        } else {
            Err(Refusal::NotEnabled {
                key: "enabled = true in [modem.gnss]",
            })
        }
    }
}

/// Every item with the number of those that were lost right before it, until the broker stops.
fn follow<T: Clone + Send + 'static>(
    reader: Reader<T>,
    shutdown: watch::Receiver<bool>,
) -> impl tokio_stream::Stream<Item = Result<(u64, T), Refusal>> + Send {
    let state = (reader, shutdown, 0_u64, Vec::new().into_iter(), false);
    futures_util::stream::unfold(
        state,
        |(mut reader, mut shutdown, mut lost, mut items, over)| async move {
            if over {
                return None;
            }
            loop {
                if let Some(item) = items.next() {
                    return Some((Ok((lost, item)), (reader, shutdown, 0, items, false)));
                }
                let batch = tokio::select! {
                    batch = reader.next() => batch,
                    _ = shutdown.wait_for(|stop| *stop) => None,
                };
                let Some(batch) = batch else {
                    return Some((Err(Refusal::ShuttingDown), (reader, shutdown, 0, items, true)));
                };
                lost += batch.lost;
                items = batch.items.into_iter();
            }
        },
    )
}

fn fix(fix: &resource::Fix) -> Fix {
    Fix {
        latitude_degrees: fix.latitude_degrees,
        longitude_degrees: fix.longitude_degrees,
        altitude_m: fix.altitude_m,
        speed_mps: fix.speed_mps,
        course_degrees: fix.course_degrees,
        fix_time: Some(convert::timestamp(fix.fix_time)),
        receive_time: Some(convert::timestamp(fix.receive_time)),
        satellites_used: fix.satellites_used,
        hdop: fix.hdop,
        horizontal_accuracy_m: fix.horizontal_accuracy_m,
    }
}
