//! `cloven demo`

use cloven::{Demo, DemoOptions, Error, Program};

use crate::{
    args::DemoArgs,
    progress::Progress,
    words::{bytes, job, percent, print_line, seconds},
};

/// Every protocol on the data inside the program: one table, a page for each run and one that links them.
pub fn demo(args: DemoArgs, program: &Program, json: bool) -> Result<(), Error> {
    let options = DemoOptions {
        program: program.clone(),
        runs: args.runs,
    };
    let progress = std::cell::RefCell::new(None);
    let end = || progress.borrow_mut().take().as_mut().map(Progress::end);
    let result = cloven::demo(
        &options,
        &mut |started| {
            end();
            eprintln!("{}", job(started));
            *progress.borrow_mut() = started.lead().cloned().map(Progress::new);
        },
        &mut |stamped| {
            if let Some(progress) = progress.borrow_mut().as_mut() {
                progress.show(stamped);
            }
        },
    );
    end();
    let demo = result?;
    match json {
        true => {
            print_line(&serde_json::to_string(&demo).expect("demos have only string keys"));
            eprintln!("{}", table(&demo));
        }
        false => print_line(&table(&demo)),
    }
    Ok(())
}

fn table(demo: &Demo) -> String {
    let mut lines = vec![format!(
        "{:<9}{:<22}{:>9}{:>8}{:>11}{:>9}{:>11}  {}",
        "data", "protocol", "accuracy", "AUC", "an epoch", "x plain", "bytes", "what the cloud sees"
    )];
    for run in &demo.runs {
        let summary = &run.summary;
        lines.push(format!(
            "{:<9}{:<22}{:>9}{:>8}{:>11}{:>9.2}{:>11}  {}",
            summary.dataset,
            summary.protocol,
            summary.test_accuracy.map_or("-".into(), percent),
            summary.auc.map_or("-".into(), |auc| format!("{auc:.4}")),
            seconds(summary.seconds_per_epoch),
            run.ratio_to_plain,
            bytes(summary.bytes_per_epoch),
            run.cloud_sees
        ));
    }
    lines.push(format!(
        "bytes: of an epoch's training, both ways; {} in all",
        seconds(demo.seconds_total)
    ));
    if demo.runs.iter().any(|run| run.summary.protocol == "enclave") {
        lines.push("enclave: attestation is simulated here, so whoever runs the cloud sees everything; with hardware the enclave alone does".to_owned());
    }
    let service = &demo.service;
    lines.push(format!(
        "{} with {} servers: {} answered, {} right; each prepared in {} ahead, answered in {}; servers see no input, output or weight",
        service.protocol,
        service.servers,
        service.rows,
        service.accuracy.map_or("-".into(), percent),
        seconds(service.seconds_preparing),
        seconds(service.seconds_user)
    ));
    lines.push(format!("reports: {}", demo.index.display()));
    lines.join("\n")
}
