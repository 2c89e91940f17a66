//! Reports of the network and of calls, and what calls need.

use cellular::at::{command, reply};
use cellular::call::State;

use super::{BringUp, BringUpError};
use crate::modem::reliance::{
    CALL_REPORTS, CALL_WAITING, CALLER_ID, CALLER_NAME, CHARACTER_SET, DTMF_DETECTION, EXTENDED_RING, NO_SLEEP,
    REGISTRATION, STRINGS, UNSOLICITED_PORTS, USSD_REPORTS, audio,
};

impl BringUp {
    /// Everything that has to be on before something can arrive. Messages have the SIM's storage to wait in, so that a
    /// storage which is not ready yet does not hold the rest up.
    pub(super) async fn configure(&mut self) -> Result<(), BringUpError> {
        self.end_stray_calls().await?;
        self.forms_of_reports().await?;
        self.network_reports().await?;
        self.call_reports().await?;
        self.configure_messages(super::messages::EARLY).await.map(drop)
    }

    /// A call that a broker left behind when it was killed: nobody is on the line, and nobody else would end it.
    async fn end_stray_calls(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at_calls;
        let listed = self.ask_on(at, command::list_current_calls()).await?;
        let is_up = |call: &reply::CurrentCall| call.voice && !matches!(call.state, State::Incoming | State::Waiting);
        if !self.needs.keep_calls && reply::current_calls(&listed.lines).iter().any(is_up) {
            tracing::warn!("hanging up a call that was up before the broker started");
            self.try_set(at, "AT+CHUP", command::hang_up()).await?;
        }
        Ok(())
    }

    /// How strings are written, and that every port is told.
    async fn forms_of_reports(&self) -> Result<(), BringUpError> {
        let response = self.ask(command::character_set_query()).await?;
        if reply::character_set(&response.lines).as_deref() != Ok(STRINGS) {
            self.try_to_rely_on(&self.needs.at, &CHARACTER_SET).await?;
        }
        self.try_to_rely_on(&self.needs.at, &UNSOLICITED_PORTS).await
    }

    async fn network_reports(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at;
        self.try_to_rely_on(at, &NO_SLEEP).await?;
        for (domain, reliance) in &REGISTRATION {
            let response = self.ask(command::registration(*domain)).await?;
            // 2 tells area and cell as well.
            if reply::registration_reports(&response.lines, *domain) != Some(2) {
                self.try_to_rely_on(at, reliance).await?;
            }
        }
        self.try_to_rely_on(at, &USSD_REPORTS).await
    }

    async fn call_reports(&self) -> Result<(), BringUpError> {
        for reliance in [
            &CALLER_ID,
            &CALLER_NAME,
            &CALL_WAITING,
            &EXTENDED_RING,
            &CALL_REPORTS,
            &audio(self.needs.sample_rate),
            &DTMF_DETECTION,
        ] {
            self.try_to_rely_on(&self.needs.at_calls, reliance).await?;
        }
        Ok(())
    }

    /// Calls need their reports, and audio a port and a firmware that serves it.
    pub(super) async fn check_voice(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at_calls;
        for reliance in [&CALLER_ID, &EXTENDED_RING] {
            self.rely_on(at, reliance).await?;
        }
        if let Some(reason) = &self.needs.no_audio {
            return Err(BringUpError::Unusable(reason.clone()));
        }
        let response = self.ask_on(at, command::pcm_query()).await?;
        if response.result.is_ok() {
            Ok(())
        } else {
            Err(BringUpError::Refused("AT+CPCMREG?", response.result))
        }
    }
}
