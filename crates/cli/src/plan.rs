//! `cloven plan`, and what it says.

use std::collections::BTreeMap;

use cloven::{
    Error, Job, Leak, Program, Protocol, Role, RunOptions, parse_settings,
    plan::{CutPlan, PartyPlan, Plan, PlanOptions, cache_for, described, plan_enclave, plan_vertical},
};

use crate::{
    args::PlanArgs,
    commands::folder_of,
    enclave_plan, vertical_plan,
    words::{self, bytes, print_line, seconds},
};

/// `cloven plan`
pub fn plan(args: PlanArgs, program: &Program, json: bool) -> Result<(), Error> {
    let job = Job::read(&args.job, &parse_settings(&args.set)?)?;
    let options = PlanOptions {
        cache: cache_for(program, args.cache.cache, args.cache.fresh),
        program: program.clone(),
        job_folder: folder_of(&args.job),
        link: args.link,
        memory: args.memory.into_iter().collect(),
        cuts: args.cut,
        rows: args.rows,
    };
    match job.protocol {
        Protocol::Vertical => {
            let plan = plan_vertical(&job, &options)?;
            print(&plan, &vertical_plan::text(&plan), json);
        }
        Protocol::Enclave => {
            let plan = plan_enclave(&job, &options)?;
            print(&plan, &enclave_plan::text(&plan), json);
        }
        _ => {
            let plan = cloven::plan::plan(&job, &options, &mut |told| eprintln!("{told}"))?;
            print(&plan, &text(&plan), json);
        }
    }
    Ok(())
}

fn print(plan: &impl serde::Serialize, text: &str, json: bool) {
    match json {
        true => {
            print_line(&serde_json::to_string(plan).expect("plans have only string keys"));
            eprintln!("{text}");
        }
        false => print_line(text),
    }
}

/// Plans the cut of a job that is about to run, so that the run can be compared.
pub fn first(job: &Job, run: &RunOptions) -> Result<(), Error> {
    let options = PlanOptions {
        program: run.program.clone(),
        job_folder: run.job_folder.clone(),
        link: run.emulate,
        memory: BTreeMap::new(),
        cuts: match job.protocol {
            Protocol::Vertical | Protocol::Enclave => Vec::new(),
            _ => vec![job.server_layers()?],
        },
        rows: None,
        cache: cache_for(&run.program, run.plans.clone(), false),
    };
    let text = match job.protocol {
        Protocol::Vertical => vertical_plan::text(&plan_vertical(job, &options)?),
        Protocol::Enclave => enclave_plan::text(&plan_enclave(job, &options)?),
        _ => table(&cloven::plan::plan(job, &options, &mut |told| eprintln!("{told}"))?),
    };
    eprintln!("{text}");
    Ok(())
}

fn text(plan: &Plan) -> String {
    let link = plan.link.map_or("all on this machine".to_owned(), |link| link.to_string());
    let [train, test] = plan.rows;
    let mut lines = vec![
        format!(
            "{}, {train} training and {test} test rows a client, link: {link}",
            plan.protocol
        ),
        table(plan),
    ];
    lines.extend(encryption(plan));
    lines.push(String::new());
    match plan.recommended.map(|index| &plan.cuts[index]) {
        Some(best) => lines.push(format!(
            "recommended: layers {} at the server: {}",
            best.described(),
            best.why
        )),
        None => lines.push("no cut is within the caps".to_owned()),
    }
    for (index, cut) in plan.cuts.iter().enumerate() {
        if plan.recommended != Some(index) {
            lines.push(format!("  {:<8}{}", cut.described(), cut.why));
        }
    }
    for refused in &plan.refused {
        let layers: Vec<String> = refused.layers.iter().map(|layers| described(*layers, None)).collect();
        lines.push(format!("  not {}: {}", layers.join(", "), refused.why));
    }
    lines.push(String::new());
    lines.push(learnt(plan));
    lines.extend(plan.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n")
}

/// By cut: seconds of an epoch, how each party spends them, bytes, memory.
fn table(plan: &Plan) -> String {
    let mut lines = vec![
        format!(
            "{:<10}{:>11}  {:>32}  {:>32}{:>11}{:>11}{:>11}{:>20}",
            "layers at", "seconds", "client: computes,", "server: computes,", "to server", "to client", "set-up", "memory:"
        ),
        format!(
            "{:<10}{:>11}  {:>32}  {:>32}{:>11}{:>11}{:>11}{:>20}",
            "the server", "an epoch", "carries, waits", "carries, waits", "an epoch", "an epoch", "bytes", "client, server"
        ),
    ];
    for (index, cut) in plan.cuts.iter().enumerate() {
        let of = |role: Role| cut.parties.values().find(|party| party.role == role);
        let (client, server) = (of(Role::Client), of(Role::Server));
        let clients: u64 = cut
            .parties
            .values()
            .filter(|party| party.role == Role::Client)
            .map(|p| p.bytes_per_epoch)
            .sum();
        lines.push(format!(
            "{:<10}{:>11}  {:>32}  {:>32}{:>11}{:>11}{:>11}{:>20}",
            label(cut, plan.recommended == Some(index)),
            seconds(cut.seconds_per_epoch),
            spent(client),
            spent(server),
            bytes(clients),
            bytes(server.map_or(0, |server| server.bytes_per_epoch)),
            bytes(cut.bytes_setup),
            format!("{}, {}", memory(client), memory(server))
        ));
    }
    lines.join("\n")
}

fn label(cut: &CutPlan, recommended: bool) -> String {
    let mark = if recommended { ">" } else { " " };
    let own = if cut.of_job { "*" } else { "" };
    format!("{mark} {}{own}", cut.described())
}

fn spent(party: Option<&PartyPlan>) -> String {
    let each = party.map(|party| [party.working, party.carrying, party.waiting].map(seconds).join(", "));
    each.unwrap_or_default()
}

fn memory(party: Option<&PartyPlan>) -> String {
    let peak = party.and_then(|party| party.peak_rss_bytes);
    peak.map_or("-".into(), |peak| format!("{:.0} MB", peak as f64 / 1e6))
}

/// The security row and, by cut, the room for noise.
fn encryption(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for cut in &plan.cuts {
        if let (Some(params), Some(noise)) = (&cut.params, &cut.noise) {
            lines.push(format!(
                "encryption at {}: log2 N = {}, log2 q = {:.1}, {}-bit classical security; results up to {:.3} of {:.0} at the start: {:.1} bits \
                 of room; error 2^{:.1}",
                cut.described(),
                params.log2_n,
                params.log2_qp,
                params.security_bits,
                noise.largest,
                noise.bound,
                noise.margin_bits,
                noise.error_bits
            ));
        }
    }
    lines
}

/// What is learnt at the recommended cut, and what differs elsewhere.
fn learnt(plan: &Plan) -> String {
    let Some(base) = plan.recommended.map(|index| &plan.cuts[index]).or(plan.cuts.first()) else {
        return String::new();
    };
    let mut lines = vec![words::leaks(&base.leaks)];
    let own = plan.cuts.iter().find(|cut| cut.of_job);
    for leak in own.map(|own| more(base, own)).unwrap_or_default() {
        lines.push(format!(
            "  unlike at the job's own cut, {} learns {}",
            leak.party, leak.learns
        ));
    }
    let mut differences: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for cut in &plan.cuts {
        let more: Vec<String> = more(cut, base)
            .iter()
            .map(|leak| format!("{} learns instead: {}", leak.party, leak.learns))
            .collect();
        if !more.is_empty() {
            differences.entry(more.join("; ")).or_default().push(cut.described());
        }
    }
    lines.extend(
        differences
            .into_iter()
            .map(|(what, cuts)| format!("at {}: {what}", cuts.join(", "))),
    );
    lines.join("\n")
}

/// What is learnt at one cut and not at the other.
fn more(here: &CutPlan, there: &CutPlan) -> Vec<Leak> {
    here.leaks
        .iter()
        .filter(|leak| !there.leaks.contains(leak))
        .cloned()
        .collect()
}
