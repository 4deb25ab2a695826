//! `cloven init`: a job, and a folder per party with its key, certificate and `local.toml`.
//!
//! ```text
//! ecg/job.toml                   shared; every party has the same
//! ecg/hospital.identity.toml     public; goes to the other parties
//! ecg/hospital/                  stays with the hospital:
//!     local.toml key.pem certificate.pem roster.toml
//! ```

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use cloven_wire::Party;

use crate::{
    ColumnRange, Error, Job, Local, LocalData, Part, Protocol, PublicIdentity, Role, RosterFile, catalogue, files, identity,
    orchestrate,
    service::{self, ServiceJob, ServiceRole},
};

/// What a new job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Training by a protocol.
    Training(Protocol),
    /// A service: `secure-inference`.
    Service,
}

impl Purpose {
    /// What the protocol of this name is for.
    ///
    /// # Errors
    /// [`Error::Configuration`] for another name.
    pub fn named(name: &str) -> Result<Self, Error> {
        if name == service::PROTOCOL {
            return Ok(Self::Service);
        }
        let found = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
        found.map(Self::Training).ok_or_else(|| {
            let known = Protocol::ALL.map(Protocol::name).join(", ");
            let problem = format!("expected one of {known}, {}, got {name:?}", service::PROTOCOL);
            Error::configuration("protocol", problem)
        })
    }

    /// The job that a new folder for this kind of data starts from.
    ///
    /// # Errors
    /// [`Error::Configuration`], naming the kinds of data that there are, for another one.
    fn template(self, data: &str) -> Result<String, Error> {
        match self {
            Self::Training(protocol) => template(data, Some(protocol)),
            Self::Service => Ok(of_data(&SERVICE_TEMPLATES, data)?.to_owned()),
        }
    }
}

/// What to make.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The folder.
    pub folder: PathBuf,
    /// A data set known by name, or `own`.
    pub data: String,
    /// What a new job is for; training by the template's protocol unless given.
    pub purpose: Option<Purpose>,
    /// Only this party's folder; otherwise every party's, and all pin each other.
    pub only: Option<Party>,
    /// The names of the clients in a new job, or of a service's users; at least one.
    pub clients: Vec<Party>,
    /// The name of the server in a new job that trains.
    pub server: Party,
}

/// What templates call the server.
const SERVER: &str = "cloud";

/// A job to start from for each kind of data; its parties are called hospital and cloud.
const TEMPLATES: [(&str, &str); 7] = [
    ("wdbc", include_str!("../../../examples/02_wdbc.toml")),
    ("digits", include_str!("templates/digits.toml")),
    ("mitbih", include_str!("../../../examples/01_ecg.toml")),
    ("mnist", include_str!("templates/mnist.toml")),
    ("ptbxl", include_str!("templates/ptbxl.toml")),
    ("mitdb", include_str!("templates/mitdb.toml")),
    ("own", include_str!("templates/own.toml")),
];

/// The same for `encrypted-model`, whose server holds the model's first layers.
const MODEL_TEMPLATES: [(&str, &str); 4] = [
    ("wdbc", include_str!("templates/model-wdbc.toml")),
    ("digits", include_str!("templates/model-digits.toml")),
    ("mnist", include_str!("../../../examples/03_mnist_encrypted_model.toml")),
    ("own", include_str!("templates/model-own.toml")),
];

/// The same for `vertical`, whose parties are others.
const VERTICAL_TEMPLATES: [(&str, &str); 3] = [
    ("wdbc", include_str!("templates/vertical-wdbc.toml")),
    ("credit", include_str!("../../../examples/04_credit_vertical.toml")),
    ("own", include_str!("templates/vertical-own.toml")),
];

/// The same for `enclave`, beside those that [`enclave_job`] makes.
const ENCLAVE_TEMPLATES: [(&str, &str); 1] = [("cifar10", include_str!("../../../examples/06_enclave.toml"))];

/// The same for a service, whose parties are others too.
const SERVICE_TEMPLATES: [(&str, &str); 3] = [
    ("digits", include_str!("../../../examples/05_secure_inference.toml")),
    ("mnist", include_str!("templates/service-mnist.toml")),
    ("own", include_str!("templates/service-own.toml")),
];

/// The job that a new folder for training on this kind of data starts from.
///
/// # Errors
/// As [`Purpose::template`].
pub fn template(data: &str, protocol: Option<Protocol>) -> Result<String, Error> {
    let templates = match protocol {
        Some(Protocol::EncryptedModel) => &MODEL_TEMPLATES[..],
        Some(Protocol::Vertical) => &VERTICAL_TEMPLATES[..],
        Some(Protocol::Enclave) if data == "cifar10" => &ENCLAVE_TEMPLATES[..],
        _ => &TEMPLATES[..],
    };
    let text = of_data(templates, data)?;
    Ok(match protocol {
        // Of the layers that the table's template gives to the server, the one that can be encrypted.
        Some(Protocol::EncryptedActivation) => text
            .replacen("protocol = \"plain\"", "protocol = \"encrypted-activation\"", 1)
            .replacen("server_layers = [2, 3, 4]", "server_layers = [2]", 1),
        Some(Protocol::Enclave) if data != "cifar10" => enclave_job(text),
        _ => text.to_owned(),
    })
}

fn of_data(templates: &[(&'static str, &'static str)], data: &str) -> Result<&'static str, Error> {
    let found = templates.iter().find(|(name, _)| *name == data);
    found.map(|(_, text)| *text).ok_or_else(|| {
        let known: Vec<_> = templates.iter().map(|(name, _)| *name).collect();
        let problem = format!("expected one of {}, got {data:?}", known.join(", "));
        Error::configuration("--data", problem)
    })
}

/// A template's job with an enclave that has all layers.
fn enclave_job(text: &str) -> String {
    let mut job = String::new();
    let mut section = "";
    for line in text.lines() {
        section = if line.starts_with('[') { line } else { section };
        job += match line {
            "[parties]" => PARTIES_OF_ENCLAVE,
            _ if section == "[parties]" && !line.is_empty() => continue,
            _ if line.starts_with("protocol = ") => "protocol = \"enclave\"",
            _ if line.starts_with("server_layers = ") => continue,
            line => line,
        };
        job += "\n";
    }
    job + SETTINGS_OF_ENCLAVE
}

/// Parties are called as in the templates.
const PARTIES_OF_ENCLAVE: &str = "[parties]
hospital = \"client\" # data, labels and the model
cloud = \"server\"    # the enclave: computes what is no product, and blinds products
gpu1 = \"worker\"     # untrusted: compute blinded products
gpu2 = \"worker\"
gpu3 = \"worker\"";

const SETTINGS_OF_ENCLAVE: &str = "
[enclave]
blinding = \"masked\"         # secret shares at three workers; \"permute\": signed permutations, weak; \"none\"
attestation = \"simulated\"   # proves nothing, for trials: \"tdx\", \"sev-snp\" or \"sgx\" where there is such hardware
";

/// Makes the files; returns the paths of those made. An existing job is kept and used; an existing key is an error.
pub fn init(options: &InitOptions) -> Result<Vec<PathBuf>, Error> {
    let mut made = Vec::new();
    let job_path = options.folder.join("job.toml");
    if !job_path.exists() {
        files::write(&job_path, job_text(options)?.as_bytes(), false)?;
        made.push(job_path.clone());
    }
    let (all, text): (Vec<Party>, LocalText) = match ServiceJob::is_in(&job_path) {
        true => {
            let job = ServiceJob::read(&job_path, &[])?;
            (
                job.parties.keys().cloned().collect(),
                Box::new(move |party| service_text(&job, party)),
            )
        }
        false => {
            let job = Job::read(&job_path, &[])?;
            (
                job.parties.keys().cloned().collect(),
                Box::new(move |party| local_text(&job, party)),
            )
        }
    };
    let chosen: Vec<&Party> = match &options.only {
        Some(party) => vec![party],
        None => all.iter().collect(),
    };
    let mut identities = Vec::new();
    for party in &chosen {
        let identity = make_party(options, party, &text(party)?, &mut made)?;
        identities.push(identity);
    }
    if options.only.is_none() {
        for party in chosen {
            let path = options.folder.join(party.as_str()).join(identity::ROSTER);
            let mut roster = RosterFile::default();
            identities
                .iter()
                .filter(|i| i.party != *party)
                .try_for_each(|i| roster.add(i, false))?;
            roster.write(&path)?;
            made.push(path);
        }
    }
    Ok(made)
}

fn job_text(options: &InitOptions) -> Result<String, Error> {
    let template = match options.purpose {
        Some(purpose) => purpose.template(&options.data)?,
        None => template(&options.data, None)?,
    };
    let names: BTreeSet<_> = options.clients.iter().chain([&options.server]).collect();
    if names.len() != options.clients.len() + 1 {
        return Err(Error::configuration("--client", "every party needs a name of its own"));
    }
    let usual = ["hospital"].map(|name| name.parse::<Party>().ok());
    if options.purpose == Some(Purpose::Training(Protocol::Vertical)) && !options.clients.iter().cloned().map(Some).eq(usual) {
        let problem =
            "a vertical job's holders have numbers of columns: change their names in job.toml, then init again for the folders";
        return Err(Error::configuration("--client", problem));
    }
    let role = match options.purpose {
        Some(Purpose::Service) if options.server.as_str() != SERVER => {
            let problem = "a service has several servers: change their names in job.toml, then init again for the folders";
            return Err(Error::configuration("--server", problem));
        }
        Some(Purpose::Service) => "user",
        _ => "client",
    };
    let clients: Vec<String> = options
        .clients
        .iter()
        .map(|client| format!("{client} = \"{role}\""))
        .collect();
    let renamed = template.replacen(&format!("hospital = \"{role}\""), &clients.join("\n"), 1);
    Ok(renamed.replacen(
        &format!("{SERVER} = \"server\""),
        &format!("{} = \"server\"", options.server),
        1,
    ))
}

/// What `local.toml` of a party says at first; an error for one that the job does not name.
type LocalText = Box<dyn Fn(&Party) -> Result<String, Error>>;

fn make_party(options: &InitOptions, party: &Party, local_text: &str, made: &mut Vec<PathBuf>) -> Result<PublicIdentity, Error> {
    let folder = options.folder.join(party.as_str());
    let identity = identity::create(party, &folder)?;
    made.extend([folder.join(identity::KEY), folder.join(identity::CERTIFICATE)]);
    let public = options.folder.join(format!("{party}.identity.toml"));
    identity.write(&public)?;
    made.push(public);
    let local = folder.join(Local::FILE);
    // A new key does not undo what the operator wrote.
    if !local.exists() {
        files::write(&local, local_text.as_bytes(), false)?;
        made.push(local);
    }
    Ok(identity)
}

/// What every party's begins with.
fn heading(party: &Party) -> String {
    format!(
        "# {party}'s own settings: they stay on this machine, are never sent and are not part of the job's digest.\n\
         # Paths count from this file's folder.\n\
         key = \"{}\"\ncertificate = \"{}\"\nroster = \"{}\"\n\n",
        identity::KEY,
        identity::CERTIFICATE,
        identity::ROSTER
    )
}

/// Of a party of a service: users dial the gateway, every server those before it.
fn service_text(job: &ServiceJob, party: &Party) -> Result<String, Error> {
    const FIRST_PORT: usize = 7443;
    let role = job.role(party)?;
    let servers: Vec<&Party> = job.servers().collect();
    let address = |number: usize| format!("\"127.0.0.1:{}\"", FIRST_PORT + number);
    let mut text = heading(party);
    let place = servers.iter().position(|server| *server == party);
    if let Some(place) = place {
        text += "# Of any two servers, one listens and the other has its address under [dial]; everybody dials the gateway.\n";
        text += &format!(
            "listen = {}\n# share = \"../shares/{party}.share\"   # this server's share of the network\n\n",
            address(place)
        );
    }
    text += SETTINGS;
    let dials = if role == ServiceRole::User { 1 } else { place.unwrap_or(0) };
    if dials > 0 {
        text += "\n[dial]\n";
    }
    for (number, server) in servers[..dials].iter().enumerate() {
        text += &format!("{server} = {}\n", address(number));
    }
    Ok(text)
}

fn local_text(job: &Job, party: &Party) -> Result<String, Error> {
    let mut text = heading(party);
    let role = job.role(party)?;
    if job.protocol == Protocol::Vertical {
        return vertical_text(text, job, party, role);
    }
    let server = job.parties.iter().find(|(_, role)| **role == Role::Server);
    let server = server.map_or("server", |(party, _)| party.as_str());
    if let Some(part) = Part::of_client(job, party).filter(|_| job.data.name != "own") {
        let part = String::from(part);
        text += &format!(
            "# For a trial: this client's part of the data set's training rows. Delete it for data of its own.\npart = \"{part}\"\n\n"
        );
    }
    text += match role {
        Role::Server => {
            "# Who dials is free: one side listens, the other has an address under [dial].\nlisten = \"127.0.0.1:7443\"\n\n"
        }
        _ => "# Who dials is free: with [dial] this party opens no port. To be dialled instead: listen = \"0.0.0.0:7443\"\n\n",
    };
    if let (Some(enclave), Role::Client) = (&job.enclave, role) {
        let needed = if enclave.attestation.is_real() { "" } else { "# " };
        text += &format!("# What the enclave must be to get anything.\n{needed}attestation_policy = \"policy.toml\"\n\n");
    }
    text += SETTINGS;
    if role != Role::Server {
        text += &format!("\n[dial]\n{server} = \"127.0.0.1:7443\"\n");
    }
    if role == Role::Client {
        text += &format!("\n[data]\n{}", data_text(&job.data.name));
    }
    Ok(text)
}

/// What every `local.toml` offers.
const SETTINGS: &str = "# metrics = \"127.0.0.1:9100\"   # for Prometheus: http://127.0.0.1:9100/metrics\n\n[limits]\n# threads = 2\n# memory_mb = 2000\n\n[deadlines]\nconnect_seconds = 60\nmessage_seconds = 120\n# In all, while the other party says that it is still at work:\ntotal_seconds = 3600\n# For a party that was connected and is gone to come back:\nreconnect_seconds = 600\n";

/// Of a party that is connected with all others: each dials those that come before it.
fn vertical_text(mut text: String, job: &Job, party: &Party, role: Role) -> Result<String, Error> {
    const FIRST_PORT: usize = 7443;
    let places = orchestrate::places(job);
    let port = |other: &Party| FIRST_PORT + places.iter().position(|place| place.party == *other).unwrap_or(0);
    let dials = places
        .iter()
        .find(|place| place.party == *party)
        .map_or(&[][..], |place| &place.dials);
    let known = job.data.name != "own";
    if role.has_rows() && known {
        let columns = String::from(ColumnRange(job.columns_of(party)));
        text += &format!(
            "# For a trial: this holder's part of the data set's columns. Delete it for data of its own.\ncolumns = \"{columns}\"\n\n"
        );
    }
    text += &format!(
        "# Of any two parties, one listens and the other has its address under [dial].\nlisten = \"127.0.0.1:{}\"\n\n{SETTINGS}\n[dial]\n",
        port(party)
    );
    for other in dials {
        text += &format!("{other} = \"127.0.0.1:{}\"\n", port(other));
    }
    if role.has_rows() {
        let data = match known {
            true => data_text(&job.data.name),
            false => table_text(catalogue::own_table(role == Role::LabelHolder)),
        };
        text += &format!("\n[data]\n{data}");
    }
    Ok(text)
}

/// The `[data]` table: the known place of a data set, or a CSV file for the user to replace.
fn data_text(name: &str) -> String {
    table_text(catalogue::find(name).unwrap_or_else(|_| catalogue::own()))
}

fn table_text(data: LocalData) -> String {
    // Wrapped, so that its sub-tables are written as [data.csv] and the like.
    let wrapped = toml::Table::from_iter([("data".to_owned(), toml::Value::Table(data.into()))]);
    identity::to_toml(&wrapped).replacen("[data]\n", "", 1)
}

/// Pins the identity in `file` for the party whose folder is `folder`; returns what was pinned.
pub fn roster_add(folder: &Path, file: &Path, replace: bool) -> Result<PublicIdentity, Error> {
    let path = roster_path(folder)?;
    let identity = PublicIdentity::read(file)?;
    let mut roster = RosterFile::read(&path)?;
    roster.add(&identity, replace)?;
    roster.write(&path)?;
    Ok(identity)
}

/// The roster of the party whose folder is `folder`.
pub fn roster_path(folder: &Path) -> Result<PathBuf, Error> {
    let local = folder.join(Local::FILE);
    Ok(Local::read(&local)?.roster)
}

#[cfg(test)]
mod tests;
