//! What responses may take in memory, in octets: for one client and for all of them.
//!
//! A client that does not read keeps what was made for it. So nothing large is made before there is room for it, and the room
//! is given back when the transport has taken the response. Whoever gets none waits and reads from disk later; the others of
//! the same client wait with it, and those of other clients do not.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body as ResponseBody;

use super::auth::Client;

/// Octets for all clients together.
const ALL: usize = 8 * 1024 * 1024;
/// Octets for one client.
const CLIENT: usize = 3 * 1024 * 1024;

/// The room that is left.
#[derive(Debug)]
pub struct Budget {
    all: Arc<Semaphore>,
    clients: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(ALL)),
            clients: Mutex::default(),
        }
    }
}

/// Room that somebody has; dropping gives it back.
#[derive(Debug)]
pub(super) struct Held {
    client: OwnedSemaphorePermit,
    all: OwnedSemaphorePermit,
}

impl Budget {
    /// Waits for room.
    pub(super) async fn take(&self, client: &Client, octets: u32) -> Option<Held> {
        // The client's own first: what it waits for must not be taken from the others meanwhile.
        let client = self.of(client).acquire_many_owned(octets).await.ok()?;
        let all = Arc::clone(&self.all).acquire_many_owned(octets).await.ok()?;
        Some(Held { client, all })
    }

    fn of(&self, client: &Client) -> Arc<Semaphore> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = clients.get(&client.0).and_then(Weak::upgrade) {
            return known;
        }
        // Those who left are forgotten here, so that there are never more than there are clients.
        clients.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Semaphore::new(CLIENT));
        clients.insert(client.0.clone(), Arc::downgrade(&room));
        room
    }
}

impl Held {
    /// Gives back what is more than this.
    pub(super) fn shrink_to(&mut self, octets: usize) {
        for permit in [&mut self.client, &mut self.all] {
            let surplus = permit.num_permits().saturating_sub(octets);
            drop(permit.split(surplus));
        }
    }

    /// Keeps the room until the transport has taken the response, or has given it up.
    pub(super) fn keep_for<T>(self, response: &mut tonic::Response<T>) {
        response.extensions_mut().insert(Arc::new(self));
    }
}

/// A body with the room that it takes.
struct HoldingBody {
    body: ResponseBody,
    _held: Arc<Held>,
}

/// Moves the room of a response into its body.
pub(super) fn hold(mut response: hyper::Response<ResponseBody>) -> hyper::Response<ResponseBody> {
    match response.extensions_mut().remove::<Arc<Held>>() {
        Some(held) => response.map(|body| ResponseBody::new(HoldingBody { body, _held: held })),
        None => response,
    }
}

impl Body for HoldingBody {
    type Data = <ResponseBody as Body>::Data;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn client(name: &str) -> Client {
        Client(name.to_owned())
    }

    #[tokio::test]
    async fn a_greedy_client_waits_for_itself_and_nobody_else_does() {
        let budget = Budget::default();
        let greedy = client("token:greedy");
        let mut held = Vec::new();
        while let Some(room) = budget.take(&greedy, 64 * 1024).now_or_never() {
            held.push(room.unwrap());
        }
        assert_eq!(held.len(), CLIENT / (64 * 1024));
        assert!(budget.take(&client("token:other"), 64 * 1024).now_or_never().is_some());
        held.pop();
        assert!(budget.take(&greedy, 64 * 1024).now_or_never().is_some());
    }

    #[tokio::test]
    async fn all_clients_together_have_a_bound() {
        let budget = Budget::default();
        let mut held = Vec::new();
        for number in 0..100 {
            let one = client(&format!("token:{number}"));
            held.extend(budget.take(&one, 1024 * 1024).now_or_never());
        }
        assert_eq!(held.len(), ALL / (1024 * 1024));
    }

    #[tokio::test]
    async fn what_is_not_needed_is_given_back_at_once_and_the_rest_with_the_body() {
        let budget = Budget::default();
        let mut held = budget.take(&client("c"), CLIENT as u32).await.unwrap();
        held.shrink_to(1000);
        assert_eq!(budget.all.available_permits(), ALL - 1000);
        let mut response = tonic::Response::new(());
        held.keep_for(&mut response);
        let (_, _, extensions) = response.into_parts();
        let mut written = hyper::Response::new(ResponseBody::new("a body".to_owned()));
        *written.extensions_mut() = extensions;
        let written = hold(written);
        assert_eq!(budget.all.available_permits(), ALL - 1000);
        drop(written);
        assert_eq!(budget.all.available_permits(), ALL);
    }

    #[tokio::test]
    async fn clients_that_left_are_forgotten() {
        let budget = Budget::default();
        for number in 0..100 {
            drop(budget.take(&client(&number.to_string()), 1).await);
        }
        assert!(budget.clients.lock().unwrap().len() <= 2);
    }
}
