//! Requests to QMI services on behalf of somebody else.

use cellular::qmi::{Request, Response, names};

use super::{not_available, refusal_of};
use crate::modem::serving::Serving;
use crate::modem::{Done, Reply};
use crate::refusal::Refusal;

impl Serving<'_> {
    /// Makes requests one after the other, and ends with the port.
    pub(in crate::modem) fn ask_qmi(&mut self, requests: Vec<Request>, reply: Reply<Vec<Result<Response, Refusal>>>) {
        let Some(qmi) = self.data.qmi() else {
            return drop(reply.send(Err(not_available(&self.data))));
        };
        let (sender, answers) = tokio::sync::oneshot::channel();
        let bound = self.data.while_open(
            async move {
                let mut answers = Vec::new();
                for request in requests {
                    let what = name_of(&request);
                    let answer = qmi.ask(request).await;
                    answers.push(answer.map_err(|failure| refusal_of(failure, &what)));
                }
                let _ = sender.send(answers);
                Done::Answered
            },
            || Done::Answered,
        );
        self.start(bound);
        self.start(async move {
            let closed = Refusal::QmiNotAvailable {
                detail: "the QMI port closed meanwhile".to_owned(),
            };
            let _ = reply.send(answers.await.map_err(|_| closed));
            Done::Answered
        });
    }
}

/// What a request is called, for people.
pub(super) fn name_of(request: &Request) -> String {
    let service = request.endpoint.service;
    let message = names::message_name(service, request.id)
        .map_or_else(|| format!("message {:#06x}", request.id), |name| name.replace('-', " "));
    match names::service_name(service) {
        Some(name) => format!("QMI {} {message}", name.to_ascii_uppercase()),
        None => format!("QMI service {:#04x} {message}", service.0),
    }
}
