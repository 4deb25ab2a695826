//! Prometheus' text exposition format, version 0.0.4.

use std::fmt::Write;

/// The media type of a page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a metric's numbers mean.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up while the process lives.
    Counter,
}

/// A page that is being written. Every sample has the page's own labels before those it is given.
pub(super) struct Page<'a> {
    common: &'a [(&'a str, &'a str)],
    text: String,
}

/// A metric that is being written.
pub(super) struct Family<'p, 'a> {
    page: &'p mut Page<'a>,
    name: &'static str,
    kind: Kind,
    help: &'static str,
    begun: bool,
}

impl<'a> Page<'a> {
    pub(super) fn new(common: &'a [(&'a str, &'a str)]) -> Self {
        let text = String::with_capacity(8 << 10);
        Self { common, text }
    }

    /// Begins a metric. One without samples leaves no trace.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &'static str) -> Family<'_, 'a> {
        Family {
            page: self,
            name,
            kind,
            help,
            begun: false,
        }
    }

    pub(super) fn finish(self) -> String {
        self.text
    }
}

impl Family<'_, '_> {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) -> &mut Self {
        self.begin();
        let Self { name, page, .. } = self;
        page.text.push_str(name);
        let mut mark = '{';
        for (label, text) in page.common.iter().chain(labels) {
            page.text.push(mark);
            page.text.push_str(label);
            page.text.push_str("=\"");
            escape(text, &mut page.text);
            page.text.push('"');
            mark = ',';
        }
        page.text.push_str("} ");
        put(value, &mut page.text);
        page.text.push('\n');
        self
    }

    /// Adds a sample of a value, if it is known.
    pub(super) fn known(&mut self, labels: &[(&str, &str)], value: Option<f64>) -> &mut Self {
        match value {
            Some(value) => self.sample(labels, value),
            None => self,
        }
    }

    fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let Self { name, help, kind, .. } = self;
        let kind = match kind {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        };
        // Writing into a string does not fail.
        let _ = write!(self.page.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }
}

/// A label's value: backslash, quote and line feed are escaped.
fn escape(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn put(value: f64, out: &mut String) {
    match value {
        f64::INFINITY => out.push_str("+Inf"),
        f64::NEG_INFINITY => out.push_str("-Inf"),
        // NaN is written as Prometheus writes it.
        value => drop(write!(out, "{value}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_and_type_come_once_and_texts_are_escaped() {
        let common = [("party", "a")];
        let mut page = Page::new(&common);
        page.family("x_ratio", Kind::Gauge, "A ratio.")
            .sample(&[("rows", "a\\b\"c\nd")], 0.5)
            .known(&[("rows", "none")], None)
            .sample(&[], f64::INFINITY);
        page.family("absent", Kind::Counter, "Nothing.").known(&[], None);
        page.family("y_total", Kind::Counter, "A count.")
            .sample(&[], 3e6)
            .sample(&[("k", "v")], f64::NAN);
        assert_eq!(
            page.finish(),
            "# HELP x_ratio A ratio.\n# TYPE x_ratio gauge\nx_ratio{party=\"a\",rows=\"a\\\\b\\\"c\\nd\"} 0.5\nx_ratio{party=\"a\"} \
             +Inf\n# HELP y_total A count.\n# TYPE y_total counter\ny_total{party=\"a\"} 3000000\ny_total{party=\"a\",k=\"v\"} NaN\n"
        );
    }
}
