//! Replacing characters that the GSM 7-bit default alphabet lacks by similar ones that it has.
//!
//! It loses information, so it happens only when somebody asks for it. It covers Latin letters with marks, ligatures,
//! typographic punctuation and spaces; other scripts are left alone, because a wrong romanisation is worse than UCS2.

use super::alphabet::ShiftTables;

/// Replaces what the default alphabet lacks and leaves the rest, including what has no similar character.
pub fn to_default_alphabet(text: &str) -> String {
    let tables = ShiftTables::default();
    let mut similar_text = String::with_capacity(text.len());
    for character in text.chars() {
        match similar(character) {
            Some(replacement) if tables.encode_character(character).is_none() => similar_text.push_str(replacement),
            _ => similar_text.push(character),
        }
    }
    similar_text
}

const fn similar(character: char) -> Option<&'static str> {
    match letter(character) {
        None => punctuation(character),
        letter => letter,
    }
}

const fn letter(character: char) -> Option<&'static str> {
    Some(match character {
        'À' | 'Á' | 'Â' | 'Ã' | 'Ā' | 'Ă' | 'Ą' | 'Ǎ' => "A",
        'á' | 'â' | 'ã' | 'ā' | 'ă' | 'ą' | 'ǎ' => "a",
        'Ć' | 'Ĉ' | 'Ċ' | 'Č' => "C",
        'ç' => "Ç",
        'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'Ď' | 'Đ' | 'Ð' => "D",
        'ď' | 'đ' | 'ð' => "d",
        'È' | 'Ê' | 'Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' => "E",
        'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' => "G",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'Ĥ' | 'Ħ' => "H",
        'ĥ' | 'ħ' => "h",
        'Ì' | 'Í' | 'Î' | 'Ï' | 'Ĩ' | 'Ī' | 'Ĭ' | 'Į' | 'İ' => "I",
        'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'Ĵ' => "J",
        'ĵ' => "j",
        'Ķ' => "K",
        'ķ' => "k",
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ł' => "L",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'Ń' | 'Ņ' | 'Ň' => "N",
        'ń' | 'ņ' | 'ň' => "n",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ō' | 'Ŏ' => "O",
        'ó' | 'ô' | 'õ' | 'ō' | 'ŏ' => "o",
        'Ő' => "Ö",
        'ő' => "ö",
        'Œ' => "OE",
        'œ' => "oe",
        'Ŕ' | 'Ŗ' | 'Ř' => "R",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'Ś' | 'Ŝ' | 'Ş' | 'Š' | 'Ș' => "S",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'Ţ' | 'Ť' | 'Ŧ' | 'Ț' => "T",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'Þ' => "Th",
        'þ' => "th",
        'Ù' | 'Ú' | 'Û' | 'Ũ' | 'Ū' | 'Ŭ' | 'Ů' | 'Ų' => "U",
        'ú' | 'û' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ų' => "u",
        'Ű' => "Ü",
        'ű' => "ü",
        'Ŵ' => "W",
        'ŵ' => "w",
        'Ý' | 'Ŷ' | 'Ÿ' => "Y",
        'ý' | 'ŷ' | 'ÿ' => "y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        'ź' | 'ż' | 'ž' => "z",
        'ẞ' => "SS",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        _ => return None,
    })
}

const fn punctuation(character: char) -> Option<&'static str> {
    Some(match character {
        '‘' | '’' | '‚' | '‛' | '′' | '´' | '`' | '‹' | '›' => "'",
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' => "\"",
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => "-",
        '…' => "...",
        '•' | '·' | '×' => "*",
        '÷' => ":",
        '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => " ",
        '\u{2028}' | '\u{2029}' => "\n",
        // Zero width characters, the soft hyphen and the byte order mark are not seen.
        '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{ad}' | '\u{feff}' => "",
        '©' => "(C)",
        '®' => "(R)",
        '™' => "TM",
        '°' | 'º' => "o",
        'ª' => "a",
        '¹' => "1",
        '²' => "2",
        '³' => "3",
        '½' => "1/2",
        '¼' => "1/4",
        '¾' => "3/4",
        '№' => "No",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_alphabet_lacks_is_replaced() {
        for (text, expected) in [
            ("Grüße, Ñandú à la carte € [ok]", "Grüße, Ñandu à la carte € [ok]"),
            ("Mâine dimineață la ora șapte", "Maine dimineata la ora sapte"),
            ("“Zażółć” – gęślą…", "\"Zazolc\" - gesla..."),
            ("garçon", "garÇon"),
            ("привет", "привет"),
        ] {
            assert_eq!(to_default_alphabet(text), expected);
        }
    }

    #[test]
    fn every_replacement_is_in_the_default_alphabet() {
        for replacement in ('\0'..=char::MAX).filter_map(similar) {
            assert!(ShiftTables::default().encode(replacement).is_ok(), "{replacement}");
        }
    }
}
