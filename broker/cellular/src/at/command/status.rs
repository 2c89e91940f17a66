//! The module itself: power, USB, levels, where unsolicited result codes go.

use super::{Command, InvalidArgument, checked, in_range, limit};

/// `<fun>` of `+CFUN` (27.007 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Functionality {
    /// 0: radio and SIM off.
    Minimum,
    /// 1
    Full,
    /// 4: radio off.
    RadioOff,
}

/// `AT+CFUN=<fun>` (27.007 8.2): functionality.
#[must_use]
pub fn functionality(level: Functionality) -> Command {
    let fun = match level {
        Functionality::Minimum => 0,
        Functionality::Full => 1,
        Functionality::RadioOff => 4,
    };
    Command::action(format!("AT+CFUN={fun}"), limit::FUNCTIONALITY)
}

/// `AT+CFUN?` (27.007 8.2)
#[must_use]
pub fn functionality_query() -> Command {
    Command::query("AT+CFUN?", &["+CFUN"], limit::LOCAL)
}

/// `AT+CRESET`: restart the module. It leaves the USB and comes back.
#[must_use]
pub fn reset() -> Command {
    Command::action("AT+CRESET", limit::RESET)
}

/// `AT+CUSBPIDSWITCH?`: the present USB composition.
#[must_use]
pub fn composition_query() -> Command {
    Command::query("AT+CUSBPIDSWITCH?", &["+CUSBPIDSWITCH"], limit::LOCAL)
}

/// `AT+CUSBPIDSWITCH=?`: the USB compositions that the module can take.
#[must_use]
pub fn composition_list() -> Command {
    Command::query("AT+CUSBPIDSWITCH=?", &["+CUSBPIDSWITCH"], limit::LOCAL)
}

/// `AT+CUSBPIDSWITCH=<pid>,1,1`: switch the USB composition. The module restarts if it is another one.
///
/// # Errors
/// [`InvalidArgument`] unless the product id is among `listed`, the module's own list.
pub fn composition_switch(product: u16, listed: &[u16]) -> Result<Command, InvalidArgument> {
    if !listed.contains(&product) {
        return Err(InvalidArgument::new("composition", "not in the module's list"));
    }
    Ok(Command::action(
        format!("AT+CUSBPIDSWITCH={product:04X},1,1"),
        limit::COMPOSITION,
    ))
}

/// `AT+CATR=<n>`: which ports get unsolicited result codes. 0 all, 2 the modem port, 3 the AT port.
///
/// # Errors
/// [`InvalidArgument`] above 7.
pub fn unsolicited_port(port: u32) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("AT+CATR={}", in_range("port", port, 0..=7)?),
        limit::LOCAL,
    ))
}

/// `AT+CSCLK=0`: never sleep. A sleeping module answers the first bytes on USB with I/O errors.
#[must_use]
pub fn sleep_off() -> Command {
    Command::action("AT+CSCLK=0", limit::LOCAL)
}

/// `AT+CSCS="<chset>"` (27.007 5.5): character set of strings.
///
/// # Errors
/// [`InvalidArgument`] for anything but capital letters and digits.
pub fn character_set(name: &str) -> Result<Command, InvalidArgument> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    Ok(Command::action(
        format!("AT+CSCS=\"{}\"", checked("character set", name, 16, allowed)?),
        limit::LOCAL,
    ))
}

/// `AT+CSCS?` (27.007 5.5): the character set of strings.
#[must_use]
pub fn character_set_query() -> Command {
    Command::query("AT+CSCS?", &["+CSCS"], limit::LOCAL)
}

/// `AT+CLVL=<level>` (27.007 8.23): downlink level, 0 to 5.
///
/// # Errors
/// [`InvalidArgument`] above 5.
pub fn loudspeaker_level(level: u32) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("AT+CLVL={}", in_range("level", level, 0..=5)?),
        limit::LOCAL,
    ))
}

/// `AT+CMICGAIN=<gain>`: uplink gain, 0 to 8.
///
/// # Errors
/// [`InvalidArgument`] above 8.
pub fn microphone_gain(gain: u32) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("AT+CMICGAIN={}", in_range("gain", gain, 0..=8)?),
        limit::LOCAL,
    ))
}

/// `AT+COUTGAIN=<gain>`: downlink gain, 0 to 8.
///
/// # Errors
/// [`InvalidArgument`] above 8.
pub fn output_gain(gain: u32) -> Result<Command, InvalidArgument> {
    Ok(Command::action(
        format!("AT+COUTGAIN={}", in_range("gain", gain, 0..=8)?),
        limit::LOCAL,
    ))
}

/// `AT+CCLK?` (27.007 8.15): the module's clock.
#[must_use]
pub fn clock() -> Command {
    Command::query("AT+CCLK?", &["+CCLK"], limit::LOCAL)
}

/// `AT+CTZR=1` (27.007 8.41): report changes of the time zone.
#[must_use]
pub fn time_zone_reports() -> Command {
    Command::action("AT+CTZR=1", limit::LOCAL)
}

/// A setting that is one or several numbers and can be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// `+CLIP` (27.007 7.6). Its read form also tells the network's side, as a second number.
    CallerId,
    /// `+CNAP` (27.007 7.30)
    CallerName,
    /// `+CCWA` (27.007 7.12): reports of waiting calls, not the service in the network.
    CallWaiting,
    /// `+CRC` (27.007 6.11)
    ExtendedRing,
    /// `+CLCC`: reports of the list of calls.
    CallListReports,
    /// `+CPCMBANDWIDTH`
    PcmBandwidth,
    /// `+DDET`
    DtmfDetection,
    /// `+CSCLK`
    Sleep,
    /// `+CATR`: which ports get unsolicited result codes.
    UnsolicitedPorts,
    /// `+CUSD` (27.007 7.15)
    UssdReports,
    /// `+CMGF` (27.005 3.2.3)
    MessageFormat,
    /// `+CNMI` (27.005 3.4.1)
    NewMessageIndication,
}

impl Setting {
    /// Its name.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        self.prefixes()[0]
    }

    fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::CallerId => &["+CLIP"],
            Self::CallerName => &["+CNAP"],
            Self::CallWaiting => &["+CCWA"],
            Self::ExtendedRing => &["+CRC"],
            Self::CallListReports => &["+CLCC"],
            Self::PcmBandwidth => &["+CPCMBANDWIDTH"],
            Self::DtmfDetection => &["+DDET"],
            Self::Sleep => &["+CSCLK"],
            Self::UnsolicitedPorts => &["+CATR"],
            Self::UssdReports => &["+CUSD"],
            Self::MessageFormat => &["+CMGF"],
            Self::NewMessageIndication => &["+CNMI"],
        }
    }
}

/// `AT+CLIP?`, `AT+CNMI?` and their like: the value of a setting.
#[must_use]
pub fn setting_query(setting: Setting) -> Command {
    Command::query(format!("AT{}?", setting.prefix()), setting.prefixes(), limit::LOCAL)
}
