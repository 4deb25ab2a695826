//! `--log`: what the program does, for operators and their machines.

use cloven::{Error, Logs, Party};
use tracing::{error_span, level_filters::LevelFilter, span::EnteredSpan};
use tracing_subscriber::{Layer, filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{args::Command, words};

/// The environment variable that stands for `--log` where there is none.
const VARIABLE: &str = "CLOVEN_LOG";
/// What the span is called that says whose process this is. Every filter lets it pass.
const PROCESS: &str = "cloven_process";

/// What a verb is to log: the command line's word, or that of the environment.
pub fn wanted(command: &Command) -> Result<Option<Logs>, Error> {
    let Some((args, _)) = command.logs() else { return Ok(None) };
    let variable = match &args.log {
        Some(_) => None,
        None => std::env::var(VARIABLE).ok().filter(|filter| !filter.is_empty()),
    };
    if let Some(filter) = &variable {
        checked(filter).map_err(|problem| Error::Configuration {
            place: VARIABLE.into(),
            problem,
        })?;
    }
    let filter = args.log.clone().or(variable);
    let filter = filter.or_else(|| args.log_json.then(|| "info".to_owned()));
    Ok(filter.map(|filter| Logs {
        filter,
        json: args.log_json,
    }))
}

/// Begins to log, if that is wanted. While the returned span lives, every line names the party.
pub fn begin(logs: Option<&Logs>, party: Option<&Party>) -> Option<EnteredSpan> {
    let logs = logs?;
    let filter = targets(&logs.filter).ok()?;
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let layer = match logs.json {
        true => layer
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .boxed(),
        false => layer.boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    words::logging(logs.json);
    party.map(|party| error_span!(target: PROCESS, "process", %party).entered())
}

/// A filter that can be used, as it is.
pub fn checked(filter: &str) -> Result<String, String> {
    targets(filter).map(|_| filter.to_owned())
}

/// A level alone is that of this program, not of the libraries it uses.
fn targets(filter: &str) -> Result<Targets, String> {
    let level = |text: &str| {
        let known = ["off", "error", "warn", "info", "debug", "trace"];
        known
            .contains(&text)
            .then(|| text.parse().unwrap_or(LevelFilter::OFF))
            .ok_or_else(|| {
                format!(
                    "expected one of {}, or PART=LEVEL, separated by commas, got {text:?}",
                    known.join(", ")
                )
            })
    };
    let directives = filter.split(',').map(|directive| match directive.trim().split_once('=') {
        None => Ok(("cloven", level(directive.trim())?)),
        Some((part, text)) => Ok((part, level(text)?)),
    });
    let directives: Vec<_> = directives.collect::<Result<_, String>>()?;
    Ok(Targets::new()
        .with_targets(directives)
        .with_target(PROCESS, LevelFilter::ERROR))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_level_alone_is_of_this_program() {
        let targets = targets("info, cloven_wire=trace,hyper=debug").unwrap();
        for (part, level, expected) in [
            ("cloven::party", Level::INFO, true),
            ("cloven::party", Level::DEBUG, false),
            ("cloven_wire::link", Level::TRACE, true),
            ("hyper::proto", Level::DEBUG, true),
            ("rustls", Level::ERROR, false),
            (PROCESS, Level::ERROR, true),
        ] {
            assert_eq!(targets.would_enable(part, &level), expected, "{part} {level}");
        }
        for bad in ["", "loud", "cloven_wire=", "info,,debug", "info;debug"] {
            assert!(checked(bad).unwrap_err().contains("expected one of off, error"), "{bad}");
        }
    }
}
