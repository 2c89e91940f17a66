//! Call forwarding (27.007 7.11, `AT+CCFC`). It lives in the network, so nothing of it is kept here.

use cellular::at::command;
use cellular::at::reply;

use crate::modem::Reply;
use crate::modem::serving::Serving;
use crate::port::at::{AtHandle, Lane};
use crate::refusal::Refusal;
use crate::resource::{Forwarding, ForwardingReason};

/// `<classx>` of voice.
const VOICE: u8 = 1;

impl Serving<'_> {
    /// Asks the network, one reason after the other, on the port that hang-ups do not need.
    pub(in crate::modem) fn get_forwarding(&mut self, reply: Reply<Vec<Forwarding>>) {
        let at = self.link.at.clone();
        self.answer_with(reply, async move {
            let mut forwardings = Vec::new();
            for reason in ForwardingReason::ALL {
                forwardings.push(query(&at, reason).await?);
            }
            Ok(forwardings)
        });
    }

    pub(in crate::modem) fn set_forwarding(&mut self, wanted: Forwarding, reply: Reply<Forwarding>) {
        let at = self.link.at.clone();
        self.answer_with(reply, async move { set(&at, wanted).await });
    }
}

fn reason_of(reason: ForwardingReason) -> command::ForwardingReason {
    match reason {
        ForwardingReason::Unconditional => command::ForwardingReason::Unconditional,
        ForwardingReason::Busy => command::ForwardingReason::Busy,
        ForwardingReason::NoReply => command::ForwardingReason::NoReply,
        ForwardingReason::NotReachable => command::ForwardingReason::NotReachable,
    }
}

fn invalid(error: &command::InvalidArgument) -> Refusal {
    Refusal::FieldInvalid {
        field: "forwarding",
        problem: error.to_string(),
    }
}

async fn query(at: &AtHandle, reason: ForwardingReason) -> Result<Forwarding, Refusal> {
    let command = command::call_forwarding_query(reason_of(reason)).map_err(|error| invalid(&error))?;
    let response = at.execute(Lane::Normal, command).await?;
    if !response.result.is_ok() {
        return Err(Refusal::refused("AT+CCFC", &response.result));
    }
    let rows = reply::call_forwarding(&response.lines).map_err(|_| Refusal::ModemProtocol {
        line: response.lines.join(" "),
    })?;
    // One row for each class that has its own, or one for all of them.
    let row = rows
        .iter()
        .find(|row| row.class & VOICE != 0)
        .or(rows.first())
        .filter(|row| row.active);
    Ok(Forwarding {
        reason,
        enabled: row.is_some(),
        number: row.and_then(|row| row.number.clone()).unwrap_or_default(),
        no_reply_s: row.and_then(|row| row.delay_s),
        classes: rows.iter().filter(|row| row.active).fold(0, |sum, row| sum | row.class),
    })
}

/// Sets it and asks what the network made of it: an OK is not always kept.
async fn set(at: &AtHandle, wanted: Forwarding) -> Result<Forwarding, Refusal> {
    let reason = reason_of(wanted.reason);
    let command = if wanted.enabled {
        command::call_forwarding_register(reason, &wanted.number, wanted.classes, wanted.no_reply_s)
            .map_err(|error| invalid(&error))?
    } else {
        command::call_forwarding_erase(reason)
    };
    let response = at.execute(Lane::Normal, command).await?;
    if !response.result.is_ok() {
        return Err(Refusal::refused("AT+CCFC", &response.result));
    }
    query(at, wanted.reason).await
}
