//! Probing and identifying: who answers on the ports.

use cellular::at::{Command, command, reply};
use cellular::profile::sim7600::{self, Acquaintance};

use super::{BringUp, BringUpError, Progress};
use crate::modem::reliance::ERROR_NUMBERS;
use crate::resource::Stage;

impl BringUp {
    pub(super) async fn probe(&self) -> Result<(), BringUpError> {
        for at in self.ports() {
            self.set(at, "AT", command::probe()).await?;
            self.set(at, "ATE0", command::echo_off()).await?;
            self.rely_on(at, &ERROR_NUMBERS).await?;
        }
        Ok(())
    }

    pub(super) async fn identify(&self) -> Result<(), BringUpError> {
        let manufacturer = self.identification(command::manufacturer(), "+CGMI").await?;
        let model = self.identification(command::model(), "+CGMM").await?;
        let revision = self.identification(command::revision(), "+CGMR").await?;
        let imei = self.ask(command::serial_number()).await?;
        let acquaintance = sim7600::acquaintance(&model, &revision);
        self.tell(Progress::Identity {
            manufacturer: manufacturer.clone(),
            model: model.clone(),
            revision: revision.clone(),
            imei: reply::serial_number(&imei.lines).unwrap_or_default(),
        })
        .await?;
        let named = |name: &str| {
            if name.is_empty() {
                "of no name".to_owned()
            } else {
                name.to_owned()
            }
        };
        let reason = match acquaintance {
            Acquaintance::Known => return Ok(()),
            Acquaintance::UnknownFirmware => format!(
                "the firmware {} is not among those that this broker was made with ({}); everything is tried, and what \
                 does not work may be the firmware's way",
                named(&revision),
                sim7600::FIRMWARES.join(", ")
            ),
            Acquaintance::ForeignModel => format!(
                "the modem is a {} {}, and the profile is for a SIM7600: what the standards define is tried, calls are \
                 without audio unless it behaves like a SIM7600",
                named(&manufacturer),
                named(&model)
            ),
        };
        self.tell(Progress::Degraded(Stage::Identifying, reason)).await
    }

    /// An identification that the module refuses to give is empty.
    async fn identification(&self, command: Command, prefix: &'static str) -> Result<String, BringUpError> {
        let response = self.ask(command).await?;
        Ok(reply::identification(&response.lines, prefix).unwrap_or_default())
    }
}
