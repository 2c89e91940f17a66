//! The text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use crate::figures::Distribution;

/// A page. Every family is written once and whole, as the format demands.
#[derive(Default)]
pub(super) struct Exposition {
    text: String,
}

/// What a family of samples is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// A family that is being written.
pub(super) struct Family<'a> {
    page: &'a mut Exposition,
    name: &'static str,
}

impl Exposition {
    /// Begins a family.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.begin(name, kind, help)
    }

    /// Begins a family of histograms.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.begin(name, "histogram", help)
    }

    fn begin(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.text
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { page: self, name }
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: &str) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(label);
            self.text.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }

    /// The page.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

impl Family<'_> {
    /// A sample that is a whole number.
    pub(super) fn count(&mut self, labels: &[(&str, &str)], value: u64) {
        self.page.sample(self.name, "", labels, &value.to_string());
    }

    /// A sample.
    pub(super) fn value(&mut self, labels: &[(&str, &str)], value: f64) {
        self.page.sample(self.name, "", labels, &number(value));
    }

    /// The samples of a histogram, whose unit is `unit_us` microseconds.
    pub(super) fn distribution(&mut self, labels: &[(&str, &str)], distribution: &Distribution, unit_us: f64) {
        let mut bound_text = String::new();
        for (bound, count) in distribution.cumulative() {
            bound_text.clear();
            // Writing to a text cannot fail.
            let _ = write!(bound_text, "{}", bound as f64 / unit_us);
            self.bucket(labels, &bound_text, count);
        }
        self.bucket(labels, "+Inf", distribution.count());
        let sum = number(distribution.sum_us() as f64 / unit_us);
        self.page.sample(self.name, "_sum", labels, &sum);
        let count = distribution.count().to_string();
        self.page.sample(self.name, "_count", labels, &count);
    }

    fn bucket(&mut self, labels: &[(&str, &str)], bound: &str, count: u64) {
        let labels: Vec<_> = labels.iter().copied().chain([("le", bound)]).collect();
        self.page.sample(self.name, "_bucket", &labels, &count.to_string());
    }
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Histogram;

    #[test]
    fn a_page_is_what_the_format_says() {
        let mut page = Exposition::default();
        let mut family = page.family("things", Kind::Gauge, "Things \\ of\nall kinds.");
        family.count(&[], 3);
        family.value(&[("modem", "a\\b\"c\nd"), ("x", "")], -1.5);
        family.value(&[("modem", "e")], f64::NEG_INFINITY);
        let histogram = Histogram::new(&[500, 20_000]);
        histogram.observe(400);
        histogram.observe(30_000);
        page.histogram("took_ms", "How long.")
            .distribution(&[("modem", "e")], &histogram.distribution(), 1000.0);
        let expected = r#"# HELP things Things \\ of\nall kinds.
# TYPE things gauge
things 3
things{modem="a\\b\"c\nd",x=""} -1.5
things{modem="e"} -Inf
# HELP took_ms How long.
# TYPE took_ms histogram
took_ms_bucket{modem="e",le="0.5"} 1
took_ms_bucket{modem="e",le="20"} 1
took_ms_bucket{modem="e",le="+Inf"} 2
took_ms_sum{modem="e"} 30.4
took_ms_count{modem="e"} 2
"#;
        assert_eq!(page.finish(), expected);
    }
}
