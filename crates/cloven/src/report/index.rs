//! The page that links the pages of several runs.

use std::path::{Path, PathBuf};

use super::{
    Report,
    markup::{Markup, markup},
    numbers,
};
use crate::{DemoRun, Error, files};

/// Writes `demo.html` into the folder that the run folders are in; returns its path.
///
/// # Errors
/// [`Error::File`].
pub(crate) fn write_index(folder: &Path, runs: &[DemoRun]) -> Result<PathBuf, Error> {
    let path = folder.join("demo.html");
    files::write(&path, page(runs).as_bytes(), false)?;
    Ok(path)
}

fn page(runs: &[DemoRun]) -> String {
    let rows: Vec<Markup> = runs.iter().map(row).collect();
    let Markup(page) = markup!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>cloven demo</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header><h1>cloven demo</h1><p class=\"meta\">Real data inside the program; every party a process of its own, over mutual TLS on \
         this machine.</p></header>\n<section><table class=\"wide\"><tr><th>data set</th><th>protocol</th><th class=\"n\">accuracy</th>\
         <th class=\"n\">AUC</th><th class=\"n\">per epoch</th><th class=\"n\">× plain</th><th class=\"n\">bytes per epoch</th><th>what the \
         cloud sees</th><th></th></tr>{}</table></section>\n<footer>Written by cloven {}. This page loads nothing.</footer>\n</body>\n\
         </html>\n",
        Markup(include_str!("style.css").to_owned()),
        rows,
        env!("CARGO_PKG_VERSION"),
    );
    page
}

fn row(run: &DemoRun) -> Markup {
    let summary = &run.summary;
    let missing = || "–".to_owned();
    // A run folder's own name has no character that means anything in an address.
    let name = run
        .run_folder
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    markup!(
        "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td>{}</td><td><a href=\"{}/{}\">report</a></td></tr>\n",
        summary.dataset,
        summary.protocol,
        summary.test_accuracy.map_or_else(missing, numbers::percent),
        summary.auc.map_or_else(missing, |auc| format!("{auc:.4}")),
        numbers::seconds(summary.seconds_per_epoch),
        numbers::digits(run.ratio_to_plain),
        numbers::bytes(summary.bytes_per_epoch),
        run.cloud_sees,
        name,
        Report::FILE,
    )
}
