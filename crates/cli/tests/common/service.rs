//! A service whose parties each have a folder of their own on this machine.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{cloven, command, example, free_address, stderr, succeed, text};

/// The gateway first.
pub const SERVERS: [&str; 3] = ["gate", "east", "west"];

pub struct Service {
    root: tempfile::TempDir,
    pub job: String,
    digest: String,
    users: Vec<String>,
}

impl Service {
    /// The embedded digits, with `hospital` and further users, each of whom asks about so many pictures at a time. Its shares are those of a network made by the run
    /// of a trial.
    pub fn new(further: usize, queries: usize) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("clinic");
        fs::create_dir(&folder).unwrap();
        let further: Vec<String> = (1..=further).map(|number| format!("clinic{number}")).collect();
        let roles: String = further.iter().map(|user| format!("{user} = \"user\"\n")).collect();
        let job = fs::read_to_string(example("05_secure_inference.toml")).unwrap();
        let job = job
            .replace("epochs = 12", "epochs = 3")
            .replace("queries = 20", &format!("queries = {queries}"))
            .replace("[parties]\n", &format!("[parties]\n{roles}"));
        fs::write(folder.join("job.toml"), job).unwrap();
        succeed(&["init", &text(&folder)]);
        let mut users = vec!["hospital".to_owned()];
        users.extend(further);
        for port in 7443..7446 {
            let (old, new) = (format!("127.0.0.1:{port}"), free_address());
            for party in SERVERS.into_iter().chain(users.iter().map(String::as_str)) {
                let path = folder.join(party).join("local.toml");
                let local = fs::read_to_string(&path).unwrap();
                fs::write(&path, local.replace(&old, &new)).unwrap();
            }
        }
        let job = text(&folder.join("job.toml"));
        let asked = stderr(&cloven(&["serve", &job, "--as", "gate"]));
        let digest = asked.lines().find_map(|line| line.strip_prefix("job ")).unwrap().to_owned();
        let service = Self {
            root,
            job,
            digest,
            users,
        };
        service.share();
        service
    }

    /// A network made by the run of a trial is what its owner has.
    fn share(&self) {
        let trained = self.root.path().join("trained");
        let folder = text(&trained);
        succeed(&["run", &self.job, "--set", "trial.queries=1", "--run-folder", &folder]);
        let shares = self.root.path().join("clinic/shares");
        fs::create_dir(&shares).unwrap();
        for party in SERVERS {
            let name = format!("{party}.share");
            fs::copy(trained.join("shares").join(&name), shares.join(&name)).unwrap();
        }
    }

    pub fn users(&self) -> &[String] {
        &self.users
    }

    /// A party's private folder.
    pub fn folder(&self, party: &str) -> PathBuf {
        self.root.path().join("clinic").join(party)
    }

    pub fn serve(&self, party: &str, arguments: &[&str]) -> Child {
        let said = fs::File::create(self.said(party)).unwrap();
        let mut command = command(&["serve", &self.job, "--as", party, "--accept", &self.digest]);
        command.args(arguments);
        command.stdout(Stdio::null()).stderr(said).spawn().unwrap()
    }

    /// A user asks about all its pictures.
    pub fn ask(&self, user: &str) -> Child {
        let args = ["predict", &self.job, "--as", user, "--accept", &self.digest, "--json"];
        command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn said(&self, party: &str) -> PathBuf {
        self.root.path().join(format!("{party}.log"))
    }

    pub fn wait_for(&self, party: &str, words: &str) {
        let begun = Instant::now();
        while !fs::read_to_string(self.said(party)).unwrap_or_default().contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{party} never said {words:?}");
            sleep(Duration::from_millis(10));
        }
    }
}

/// Ends processes that serve without end.
pub fn kill(servers: &mut [(&str, Child)]) {
    for (_, server) in servers {
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
