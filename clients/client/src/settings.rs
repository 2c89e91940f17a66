//! How to reach the broker, as every client takes it: from its command line, its configuration file or the environment.

use std::path::PathBuf;

/// How to reach the broker. What is not set has the default.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "clap", derive(clap::Args))]
pub struct Settings {
    /// Where the broker is: unix:/path, /path, tcp:HOST:PORT or https://HOST:PORT; otherwise MODEM_BROKER.
    #[cfg_attr(
        feature = "clap",
        arg(
            id = "broker",
            long = "broker",
            value_name = "ENDPOINT",
            help_heading = "Connection",
            global = true
        )
    )]
    pub endpoint: Option<String>,
    /// File with the bearer token; otherwise MODEM_BROKER_TOKEN_FILE.
    #[cfg_attr(
        feature = "clap",
        arg(long = "token-file", value_name = "FILE", help_heading = "Connection", global = true)
    )]
    pub token_file: Option<PathBuf>,
    /// The bearer token itself. Only from the environment, because the command line of a process is public.
    #[cfg_attr(feature = "clap", arg(skip))]
    pub token: Option<String>,
    /// PEM file with the certificate authority of the broker; needed for https; otherwise MODEM_BROKER_CA.
    #[cfg_attr(
        feature = "clap",
        arg(long = "ca", value_name = "FILE", help_heading = "Connection", global = true)
    )]
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate; otherwise MODEM_BROKER_CERT.
    #[cfg_attr(
        feature = "clap",
        arg(long = "cert", value_name = "FILE", help_heading = "Connection", global = true)
    )]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the client's private key; otherwise MODEM_BROKER_KEY.
    #[cfg_attr(
        feature = "clap",
        arg(long = "key", value_name = "FILE", help_heading = "Connection", global = true)
    )]
    pub key_file: Option<PathBuf>,
    /// Name in the broker's certificate, when it is not the host of the endpoint.
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "server-name",
            value_name = "NAME",
            help_heading = "Connection",
            global = true
        )
    )]
    pub server_name: Option<String>,
}

/// The variable that holds the bearer token itself.
const TOKEN_VARIABLE: &str = "MODEM_BROKER_TOKEN";

impl Settings {
    /// Settings for an endpoint without credentials.
    pub fn for_endpoint(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: Some(endpoint.into()),
            ..Self::default()
        }
    }

    /// Fills what is not set from the variables MODEM_BROKER, MODEM_BROKER_TOKEN, MODEM_BROKER_TOKEN_FILE,
    /// MODEM_BROKER_CA, MODEM_BROKER_CERT and MODEM_BROKER_KEY.
    pub fn or_env(self) -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| text(name).map(PathBuf::from);
        self.or(Self {
            endpoint: text("MODEM_BROKER"),
            token_file: path("MODEM_BROKER_TOKEN_FILE"),
            token: text(TOKEN_VARIABLE),
            ca_file: path("MODEM_BROKER_CA"),
            certificate_file: path("MODEM_BROKER_CERT"),
            key_file: path("MODEM_BROKER_KEY"),
            server_name: None,
        })
    }

    /// Fills what is not set from `other`.
    pub fn or(self, other: Self) -> Self {
        Self {
            endpoint: self.endpoint.or(other.endpoint),
            token_file: self.token_file.or(other.token_file),
            token: self.token.or(other.token),
            ca_file: self.ca_file.or(other.ca_file),
            certificate_file: self.certificate_file.or(other.certificate_file),
            key_file: self.key_file.or(other.key_file),
            server_name: self.server_name.or(other.server_name),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("endpoint", &self.endpoint)
            .field("token_file", &self.token_file)
            .field("token", &self.token.as_ref().map(|_| "(hidden)"))
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("key_file", &self.key_file)
            .field("server_name", &self.server_name)
            .finish()
    }
}
