//! The configuration: what the file may say, checked before anything starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The configuration of the bridge.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where HTTP is served. Beyond loopback only with a token.
    pub listen: SocketAddr,
    /// File with the bearer token that callers must present. Every program and every user of this machine reaches a loopback
    /// address, so the token is asked for there too.
    pub token_file: PathBuf,
    /// Asks for no token: every program and every user of this machine may send and read messages. Loopback only.
    pub without_token: bool,
    /// The modem for requests that name none. Not needed when the broker has exactly one.
    pub modem: String,
    /// How to reach the broker.
    pub broker: client::Settings,
    /// Where what comes in is sent. None: nowhere.
    pub webhook: Option<Webhook>,
}

/// The webhook for what comes in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The receiver, http or https.
    pub url: String,
    /// The name under which the broker keeps the position. Two bridges need two names.
    #[serde(default = "default_consumer")]
    pub consumer: String,
    /// What is sent.
    #[serde(default = "default_events")]
    pub events: Vec<ForwardedEvent>,
    /// File with the secret that signs the requests (Standard Webhooks: `whsec_` and base64). None: not signed.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The address that is sent as `gateway_ip`, for receivers that tell gateways apart by it.
    #[serde(default)]
    pub gateway_ip: Option<String>,
    /// How long one attempt may take.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u64,
    /// The pause after the first failed attempt; it doubles with each.
    #[serde(default = "default_first_pause_ms")]
    pub first_pause_ms: u64,
    /// The longest pause between two attempts.
    #[serde(default = "default_longest_pause_s")]
    pub longest_pause_s: u64,
    /// Attempts at an event that the receiver refuses (any answer but 2xx, 408, 429 and 5xx) before it becomes a dead letter.
    /// What fails otherwise is tried for ever.
    #[serde(default = "default_refused_attempts")]
    pub refused_attempts: u32,
    /// Where the list of dead letters is kept over a restart. None: in memory only.
    #[serde(default)]
    pub dead_letter_file: Option<PathBuf>,
}

/// An event that the webhook can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedEvent {
    /// `message.received`: a message came in, complete.
    Received,
    /// `message.incomplete`: parts of a message came in, once for each change.
    Incomplete,
    /// `message.raw`: a message came in that could not be decoded.
    Raw,
    /// `message.state`: a message that was sent came to an end: sent, delivered, failed, unknown or cancelled.
    State,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is described by its message")]
pub enum ConfigError {
    #[error("failed to read {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("failed to understand {path}: {source}", path = path.display())]
    Malformed {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("failed to read the token in {path}: {source}; put one there, for example with `openssl rand -hex 32`, or set without_token = true to let everybody on this machine in", path = path.display())]
    Token { path: PathBuf, source: std::io::Error },
    #[error("listen = \"{listen}\" is reachable from other hosts: remove without_token, or listen on 127.0.0.1")]
    Exposed { listen: SocketAddr },
    #[error("webhook.url must begin with http:// or https://")]
    WebhookUrl,
    #[error("{key}: {problem}")]
    Value { key: &'static str, problem: &'static str },
}

const DEFAULT_TOKEN_FILE: &str = "/etc/modem-broker/sms-bridge.token";

fn default_consumer() -> String {
    "sms-bridge".to_owned()
}

fn default_events() -> Vec<ForwardedEvent> {
    vec![ForwardedEvent::Received]
}

fn default_timeout_s() -> u64 {
    10
}

fn default_first_pause_ms() -> u64 {
    1000
}

fn default_longest_pause_s() -> u64 {
    300
}

fn default_refused_attempts() -> u32 {
    10
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8088)),
            token_file: DEFAULT_TOKEN_FILE.into(),
            without_token: false,
            modem: String::new(),
            broker: client::Settings::default(),
            webhook: None,
        }
    }
}

impl Webhook {
    /// A webhook with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            consumer: default_consumer(),
            events: default_events(),
            secret_file: None,
            gateway_ip: None,
            timeout_s: default_timeout_s(),
            first_pause_ms: default_first_pause_ms(),
            longest_pause_s: default_longest_pause_s(),
            refused_attempts: default_refused_attempts(),
            dead_letter_file: None,
        }
    }
}

impl Config {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        toml::from_str(&text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source: Box::new(source),
        })
    }

    /// Checks what the types cannot.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.listen.ip().is_loopback() && self.without_token {
            return Err(ConfigError::Exposed { listen: self.listen });
        }
        self.token()?;
        let Some(webhook) = &self.webhook else { return Ok(()) };
        if !webhook.url.starts_with("http://") && !webhook.url.starts_with("https://") {
            return Err(ConfigError::WebhookUrl);
        }
        let name = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
        if !(1..=64).contains(&webhook.consumer.len()) || !webhook.consumer.chars().all(name) {
            return Err(ConfigError::Value {
                key: "webhook.consumer",
                problem: "1 to 64 characters of a-z, 0-9, '.', '_' and '-'",
            });
        }
        for (key, value, allowed) in [
            ("webhook.timeout_s", webhook.timeout_s, 1..=60),
            ("webhook.first_pause_ms", webhook.first_pause_ms, 1..=60_000),
            ("webhook.longest_pause_s", webhook.longest_pause_s, 1..=3600),
            ("webhook.refused_attempts", webhook.refused_attempts.into(), 1..=1000),
        ] {
            if !allowed.contains(&value) {
                return Err(ConfigError::Value {
                    key,
                    problem: "out of range",
                });
            }
        }
        webhook.secret().map(|_| ())
    }

    /// The token that callers must present; none when everybody on this machine may.
    pub(crate) fn token(&self) -> Result<Option<String>, ConfigError> {
        if self.without_token {
            return Ok(None);
        }
        match std::fs::read_to_string(&self.token_file) {
            Ok(text) => long_enough(&text, "token_file").map(Some),
            Err(source) => Err(ConfigError::Token {
                path: self.token_file.clone(),
                source,
            }),
        }
    }
}

impl Webhook {
    pub(crate) fn secret(&self) -> Result<Option<String>, ConfigError> {
        secret_of(self.secret_file.as_deref(), "webhook.secret_file")
    }
}

fn secret_of(path: Option<&Path>, key: &'static str) -> Result<Option<String>, ConfigError> {
    let Some(path) = path else { return Ok(None) };
    long_enough(&read(path)?, key).map(Some)
}

fn long_enough(text: &str, key: &'static str) -> Result<String, ConfigError> {
    let secret = text.trim();
    if secret.len() < 16 {
        return Err(ConfigError::Value {
            key,
            problem: "the file must hold at least 16 characters",
        });
    }
    Ok(secret.to_owned())
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sms-bridge.toml"));

    #[test]
    fn the_example_shows_the_defaults() {
        let example: Config = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(format!("{example:?}"), format!("{:?}", Config::default()));
    }

    /// Keys that the example comments out are read too, so that it cannot show one that does not exist.
    #[test]
    fn the_example_with_everything_uncommented_is_understood_key_by_key() {
        let written = |line: &str| {
            let key = line.split('=').next().unwrap_or_default().trim();
            line.starts_with('[') || (line.contains(" = ") && !key.contains(' '))
        };
        let text: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| written(rest)).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let config: Config = toml::from_str(&text).unwrap();
        let webhook = config.webhook.unwrap();
        let defaults = Webhook {
            secret_file: webhook.secret_file.clone(),
            gateway_ip: webhook.gateway_ip.clone(),
            dead_letter_file: webhook.dead_letter_file.clone(),
            ..Webhook::new(webhook.url.clone())
        };
        assert!(webhook.secret_file.is_some() && webhook.gateway_ip.is_some() && webhook.dead_letter_file.is_some());
        assert_eq!(format!("{webhook:?}"), format!("{defaults:?}"));
        assert!(config.without_token && config.broker.server_name.is_some());
    }

    fn problem(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sms-bridge.toml");
        std::fs::write(&path, format!("without_token = true\n{text}")).unwrap();
        match Config::load(&path).and_then(|config| config.check()) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_token_is_asked_for_unless_the_configuration_says_otherwise_in_plain_words() {
        let directory = tempfile::tempdir().unwrap();
        let token_file = directory.path().join("token");
        let config = |listen: &str| Config {
            listen: listen.parse().unwrap(),
            token_file: token_file.clone(),
            ..Config::default()
        };
        let missing = config("127.0.0.1:8088").check().unwrap_err().to_string();
        assert!(missing.contains("without_token = true"), "{missing}");
        std::fs::write(&token_file, "short\n").unwrap();
        assert!(config("127.0.0.1:8088").check().is_err());
        std::fs::write(&token_file, "0123456789abcdef\n").unwrap();
        config("0.0.0.0:8088").check().unwrap();
        assert_eq!(config("127.0.0.1:8088").token().unwrap().unwrap(), "0123456789abcdef");
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_key() {
        for (text, expected) in [
            ("", ""),
            (
                "listen = '127.0.0.1:9000'\n[webhook]\nurl = 'http://10.8.0.1:8088/webhook/sms/receive'",
                "",
            ),
            ("listen = '0.0.0.0:8088'", "remove without_token"),
            ("listen = '[::]:8088'", "remove without_token"),
            ("lisen = '127.0.0.1:8088'", "unknown field `lisen`"),
            ("[webhook]\nurl = 'ftp://x'", "webhook.url"),
            (
                "[webhook]\nurl = 'http://x'\nconsumer = 'My Bridge'",
                "webhook.consumer",
            ),
            ("[webhook]\nurl = 'http://x'\ntimeout_s = 0", "webhook.timeout_s"),
            (
                "[webhook]\nurl = 'http://x'\nevents = ['recieved']",
                "unknown variant `recieved`",
            ),
            ("[broker]\nendpont = 'x'", "unknown field `endpont`"),
        ] {
            let problem = problem(text);
            assert!(
                problem.contains(expected) && problem.is_empty() == expected.is_empty(),
                "{text}: {problem}"
            );
        }
    }
}
