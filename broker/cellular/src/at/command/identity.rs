//! The module and its SIM: identity, PIN, settings of the dialogue.

use super::{Command, Expects, InvalidArgument, checked, limit};
use crate::carrier::SimFile;

/// `AT`: does anybody answer?
#[must_use]
pub fn probe() -> Command {
    Command::action("AT", limit::LOCAL)
}

/// `ATE0` (V.250 6.2.4): no echo.
#[must_use]
pub fn echo_off() -> Command {
    Command::action("ATE0", limit::LOCAL)
}

/// How errors are reported (27.007 9.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorReporting {
    /// 0: `ERROR`
    None,
    /// 1: numbers. They are what software should ask for: texts differ between firmwares.
    Numeric,
    /// 2: texts.
    Verbose,
}

/// `AT+CMEE=<n>` (27.007 9.1): error reporting.
#[must_use]
pub fn error_reporting(level: ErrorReporting) -> Command {
    let n = match level {
        ErrorReporting::None => 0,
        ErrorReporting::Numeric => 1,
        ErrorReporting::Verbose => 2,
    };
    Command::action(format!("AT+CMEE={n}"), limit::LOCAL)
}

/// `AT+CGMI` (27.007 5.1): manufacturer.
#[must_use]
pub fn manufacturer() -> Command {
    Command::new("AT+CGMI", Expects::BareOrPrefixed(&["+CGMI"]), limit::LOCAL)
}

/// `AT+CGMM` (27.007 5.2): model.
#[must_use]
pub fn model() -> Command {
    Command::new("AT+CGMM", Expects::BareOrPrefixed(&["+CGMM"]), limit::LOCAL)
}

/// `AT+CGMR` (27.007 5.3): revision. A SIM7600 answers with the prefix, its relatives without.
#[must_use]
pub fn revision() -> Command {
    Command::new("AT+CGMR", Expects::BareOrPrefixed(&["+CGMR"]), limit::LOCAL)
}

/// `AT+CGSN` (27.007 5.4): serial number, the IMEI.
#[must_use]
pub fn serial_number() -> Command {
    Command::new("AT+CGSN", Expects::BareOrPrefixed(&["+CGSN"]), limit::LOCAL)
}

/// `AT+CIMI` (27.007 5.6): IMSI of the SIM.
#[must_use]
pub fn imsi() -> Command {
    Command::new("AT+CIMI", Expects::BareOrPrefixed(&["+CIMI"]), limit::STORAGE)
}

/// `AT+CICCID`: ICCID of the SIM.
#[must_use]
pub fn iccid() -> Command {
    Command::query("AT+CICCID", &["+ICCID", "+CICCID"], limit::STORAGE)
}

/// `AT+CNUM` (27.007 7.1): the subscriber's own numbers.
#[must_use]
pub fn own_numbers() -> Command {
    Command::query("AT+CNUM", &["+CNUM"], limit::STORAGE)
}

/// `ATI`: manufacturer, model, revision and serial number at once.
#[must_use]
pub fn information() -> Command {
    Command::new("ATI", Expects::Any, limit::LOCAL)
}

/// `AT+CPIN?` (27.007 8.3): what the SIM waits for.
#[must_use]
pub fn pin_status() -> Command {
    Command::query("AT+CPIN?", &["+CPIN"], limit::STORAGE)
}

/// `AT+SPIC`: attempts left for PIN and PUK.
#[must_use]
pub fn pin_attempts() -> Command {
    Command::query("AT+SPIC", &["+SPIC"], limit::STORAGE)
}

/// `AT+CPIN="<pin>"` (27.007 8.3): enter the PIN.
///
/// # Errors
/// [`InvalidArgument`] unless the PIN is 4 to 8 digits (31.101 9.5.1).
pub fn enter_pin(pin: &str) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("AT+CPIN=\"{}\"", secret("PIN", pin)?),
        limit::STORAGE,
    ))
}

/// `AT+CPIN="<puk>","<new pin>"` (27.007 8.3): unblock the SIM.
///
/// # Errors
/// [`InvalidArgument`] unless the PUK is 8 digits and the PIN 4 to 8.
pub fn enter_puk(puk: &str, new_pin: &str) -> Result<Command, InvalidArgument> {
    let puk = secret("PUK", puk)?;
    if puk.len() != 8 {
        return Err(InvalidArgument::new("PUK", "not 8 digits"));
    }
    Ok(Command::action(
        format!("AT+CPIN=\"{puk}\",\"{}\"", secret("PIN", new_pin)?),
        limit::STORAGE,
    ))
}

/// `AT+CPWD="SC","<pin>","<new pin>"` (27.007 7.5): change the PIN.
///
/// # Errors
/// [`InvalidArgument`] unless both are 4 to 8 digits.
pub fn change_pin(pin: &str, new_pin: &str) -> Result<Command, InvalidArgument> {
    let (pin, new_pin) = (secret("PIN", pin)?, secret("new PIN", new_pin)?);
    Ok(Command::action(
        format!("AT+CPWD=\"SC\",\"{pin}\",\"{new_pin}\""),
        limit::STORAGE,
    ))
}

/// `AT+CLCK="SC",<mode>,"<pin>"` (27.007 7.4): whether the PIN is asked for at power-on.
///
/// # Errors
/// [`InvalidArgument`] unless the PIN is 4 to 8 digits.
pub fn set_pin_lock(enabled: bool, pin: &str) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("AT+CLCK=\"SC\",{},\"{}\"", u8::from(enabled), secret("PIN", pin)?),
        limit::STORAGE,
    ))
}

/// `AT+CLCK="SC",2` (27.007 7.4): whether the PIN is asked for at power-on.
#[must_use]
pub fn pin_lock_query() -> Command {
    Command::query("AT+CLCK=\"SC\",2", &["+CLCK"], limit::STORAGE)
}

/// `AT+CRSM=176,<file>,0,0,<length>` (27.007 8.18): READ BINARY of a file of the SIM.
#[must_use]
pub fn read_sim_file(file: SimFile, length: u8) -> Command {
    Command::query(
        format!("AT+CRSM=176,{},0,0,{length}", file.identifier()),
        &["+CRSM"],
        limit::STORAGE,
    )
}

fn secret<'a>(argument: &'static str, value: &'a str) -> Result<&'a str, InvalidArgument> {
    let digits = checked(argument, value, 8, |byte| byte.is_ascii_digit())?;
    if digits.len() < 4 {
        Err(InvalidArgument::new(argument, "too short"))
    } else {
        Ok(digits)
    }
}
