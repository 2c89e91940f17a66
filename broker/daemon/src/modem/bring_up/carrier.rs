//! The carrier: from the SIM's files, the table, the package and the configuration.

use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use cellular::at::{command, reply};
use cellular::carrier::{self, Carrier as Issuer, Evidence, Known, Plmn, SimFile, provider_info};

use super::contexts::Credentials;
use super::{BringUp, BringUpError, Progress};
use crate::modem::settings::CarrierConfig;
use crate::resource::{Carrier, CarrierSource};
use crate::supervisor;

/// A SIM answers within a second; one that does not has to leave time for the other stages.
const FILE_LIMIT: Duration = Duration::from_secs(8);

impl BringUp {
    pub(super) async fn find_carrier(&mut self) -> Result<(), BringUpError> {
        let (plmn, evidence, unread) = match self.read_issuer().await {
            Ok((plmn, evidence)) => (plmn, evidence, None),
            Err(error) if error.is_final() => return Err(error),
            // The IMSI alone tells most carriers.
            Err(error) => (Plmn::of_imsi(&self.sim.imsi, None), Evidence::default(), Some(error)),
        };
        if let Some(plmn) = &plmn
            && self.sim.home_plmn != plmn.as_str()
        {
            self.sim.home_plmn = plmn.to_string();
            self.tell(Progress::Sim(self.sim.clone())).await?;
        }
        let (found, source) = match &plmn {
            Some(plmn) => issuer(plmn, &evidence, self.needs.provider_info.clone()).await,
            None => (None, CarrierSource::Fallback),
        };
        let (carrier, credentials) = merge(&self.needs.carrier, plmn.as_ref(), &evidence, found, source);
        self.carrier = carrier;
        self.credentials = credentials;
        self.tell(Progress::Carrier(self.carrier.clone())).await?;
        unread.map_or(Ok(()), Err)
    }

    async fn read_issuer(&self) -> Result<(Option<Plmn>, Evidence), BringUpError> {
        let administrative = self.sim_file(SimFile::AdministrativeData, 4).await?;
        let length = administrative.as_deref().and_then(carrier::mnc_length);
        let plmn = Plmn::of_imsi(&self.sim.imsi, length);
        let name = self.sim_file(SimFile::ServiceProviderName, 17).await?;
        let name = name.as_deref().map(carrier::service_provider_name);
        let mut evidence = Evidence {
            service_provider_name: name.unwrap_or_default(),
            group_identifier: String::new(),
        };
        let group_octets = plmn.as_ref().map_or(0, carrier::group_identifier_octets);
        if let Some(octets) = u8::try_from(group_octets).ok().filter(|octets| *octets > 0) {
            let group = self.sim_file(SimFile::GroupIdentifier1, octets).await?;
            evidence.group_identifier = group.as_deref().map(carrier::group_identifier).unwrap_or_default();
        }
        Ok((plmn, evidence))
    }

    /// A file of the SIM; `None` when it is not there or the firmware does not read files.
    async fn sim_file(&self, file: SimFile, length: u8) -> Result<Option<Vec<u8>>, BringUpError> {
        let mut command = command::read_sim_file(file, length);
        command.timeout = FILE_LIMIT;
        let response = self.ask(command).await?;
        Ok(reply::sim_file(&response.lines).unwrap_or_default())
    }
}

/// The table first, since it was checked; then the package, which is also asked about a name that the table does not know.
async fn issuer(plmn: &Plmn, evidence: &Evidence, database: PathBuf) -> (Option<Issuer>, CarrierSource) {
    let known = carrier::built_in(plmn, evidence);
    if let Some(Known::Operator(issuer)) = known {
        return (Some(issuer), CarrierSource::BuiltIn);
    }
    let or_first = known.is_none();
    let (wanted, name) = (plmn.clone(), evidence.service_provider_name.clone());
    // Half a megabyte of XML, read from front to back, and only for carriers that the table lacks.
    let reading = supervisor::on_disk(move || {
        let file = std::fs::File::open(&database).ok()?;
        provider_info::look_up(BufReader::new(file), &wanted, &name, or_first)
            .inspect_err(
                |error| tracing::warn!(database = %database.display(), %error, "could not read the carriers' database"),
            )
            .ok()?
    });
    match (reading.await.ok().flatten(), known) {
        (Some(issuer), _) => (Some(issuer), CarrierSource::Package),
        (None, Some(Known::Network(issuer) | Known::Operator(issuer))) => (Some(issuer), CarrierSource::BuiltIn),
        (None, None) => (None, CarrierSource::Fallback),
    }
}

/// The configuration wins, key by key. With another access point of its own, the user and password found do not fit.
fn merge(
    configured: &CarrierConfig,
    plmn: Option<&Plmn>,
    evidence: &Evidence,
    found: Option<Issuer>,
    source: CarrierSource,
) -> (Carrier, Credentials) {
    let found = found.unwrap_or_default();
    let credentials = if configured.data_apn.is_some() || configured.user.is_some() {
        Credentials {
            user: configured.user.clone().unwrap_or_default(),
            password: configured
                .password
                .as_ref()
                .map(|secret| secret.expose().to_owned())
                .unwrap_or_default(),
            authentication: configured.authentication,
            configured: true,
        }
    } else {
        Credentials {
            user: found.user.clone(),
            password: found.password.clone(),
            authentication: configured.authentication,
            configured: false,
        }
    };
    let or_found = |configured: &Option<String>, found: String| configured.clone().unwrap_or(found);
    let named = configured.name.is_some() || configured.data_apn.is_some() || configured.ims_apn.is_some();
    let name = if found.name.is_empty() {
        evidence.service_provider_name.clone()
    } else {
        found.name
    };
    let carrier = Carrier {
        name: or_found(&configured.name, name),
        country: found.country,
        plmn: plmn.map(Plmn::to_string).unwrap_or_default(),
        data_apn: or_found(&configured.data_apn, found.data_apn),
        ims_apn: or_found(&configured.ims_apn, carrier::IMS_APN.to_owned()),
        source: if named { CarrierSource::Configured } else { source },
        service_provider_name: evidence.service_provider_name.clone(),
    };
    (carrier, credentials)
}
