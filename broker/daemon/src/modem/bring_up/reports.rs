//! Reports of the network and of calls, and what calls need.

use ::modem::at::command::{self, Setting};
use ::modem::at::reply::{self, Domain};
use ::modem::call::State;

use super::{BringUp, BringUpError};

impl BringUp {
    /// Everything that has to be on before something can arrive. Messages have the SIM's storage to wait in, so that a
    /// storage which is not ready yet does not hold the rest up.
    pub(super) async fn configure(&mut self) -> Result<(), BringUpError> {
        self.end_stray_calls().await?;
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
            tracing::warn!("a call was up that no client can know of; hanging up");
            self.try_set(at, "AT+CHUP", command::hang_up()).await?;
        }
        Ok(())
    }

    async fn network_reports(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at;
        // A sleeping UART loses the first bytes of a command and shows as I/O errors.
        if !self.is_set(at, Setting::Sleep, &[0]).await? {
            self.try_set(at, "AT+CSCLK=0", command::sleep_off()).await?;
        }
        for domain in [Domain::Cs, Domain::Ps, Domain::Eps] {
            let response = self.ask(command::registration(domain)).await?;
            // 2 tells area and cell as well.
            if reply::registration_reports(&response.lines, domain) != Some(2) {
                self.try_set(at, "registration reports", command::registration_reports(domain))
                    .await?;
            }
        }
        if !self.is_set(at, Setting::UssdReports, &[1]).await? {
            self.try_set(at, "AT+CUSD=1", command::ussd_reports()).await?;
        }
        Ok(())
    }

    async fn call_reports(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at_calls;
        // VoLTE calls run at 16 kHz unless told otherwise, and the audio path here is 8 kHz throughout.
        let narrow = command::pcm_bandwidth(command::PcmFormat::Narrow, command::PcmFormat::Narrow);
        for (setting, wanted, what, write) in [
            (Setting::CallerId, &[1][..], "AT+CLIP=1", command::caller_id_on()),
            (Setting::CallerName, &[1], "AT+CNAP=1", command::caller_name_on()),
            (
                Setting::CallWaiting,
                &[1],
                "AT+CCWA=1",
                command::call_waiting_indication(true),
            ),
            (Setting::ExtendedRing, &[1], "AT+CRC=1", command::extended_ring()),
            (
                Setting::CallListReports,
                &[1],
                "AT+CLCC=1",
                command::call_list_reports(),
            ),
            (Setting::PcmBandwidth, &[1, 1], "AT+CPCMBANDWIDTH=1,1", narrow),
            (Setting::DtmfDetection, &[1], "AT+DDET=1", command::dtmf_detection()),
        ] {
            if !self.is_set(at, setting, wanted).await? {
                self.try_set(at, what, write).await?;
            }
        }
        Ok(())
    }

    /// Calls need their reports, and audio a port and a firmware that serves it.
    pub(super) async fn check_voice(&self) -> Result<(), BringUpError> {
        let at = &self.needs.at_calls;
        for (setting, what, write) in [
            (Setting::CallerId, "AT+CLIP=1", command::caller_id_on()),
            (Setting::ExtendedRing, "AT+CRC=1", command::extended_ring()),
        ] {
            if !self.is_set(at, setting, &[1]).await? {
                self.set(at, what, write).await?;
            }
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
