use super::*;

fn at(epoch: u32, batch: u32) -> Position {
    Position { epoch, batch }
}

fn parts(content: &str) -> Parts {
    [
        ("front".to_owned(), content.as_bytes().to_vec()),
        ("empty".to_owned(), Vec::new()),
    ]
    .into()
}

fn with_checkpoints(job: &str, folder: &Path, test: impl FnOnce(&Checkpoints<'_, '_>)) {
    let (party, peer): (Party, Party) = ("hospital".parse().unwrap(), "cloud".parse().unwrap());
    let mut watch = |_| ();
    let reporter = Reporter::new(party.clone(), None, &mut watch);
    test(&Checkpoints::new(folder, &party, &peer, job.to_owned(), &reporter).unwrap());
}

#[test]
fn what_was_saved_is_found_again_by_a_later_process_of_the_same_job() {
    let folder = tempfile::tempdir().unwrap();
    with_checkpoints("a job", folder.path(), |checkpoints| {
        checkpoints.save(at(2, 0), parts("begin")).unwrap();
        for batch in [50, 100, 150, 200] {
            checkpoints.save(at(2, batch), parts(&batch.to_string())).unwrap();
        }
        checkpoints.flush().unwrap();
    });
    with_checkpoints("a job", folder.path(), |checkpoints| {
        let mut positions = checkpoints.positions();
        positions.sort_unstable();
        assert_eq!(positions, [at(2, 0), at(2, 100), at(2, 150), at(2, 200)]);
        assert_eq!(checkpoints.load(at(2, 150)).unwrap(), parts("150"));
        assert!(checkpoints.load(at(2, 50)).is_err());
        checkpoints.save(at(3, 0), parts("next")).unwrap();
        checkpoints.settled(3).unwrap();
        assert_eq!(checkpoints.positions(), [at(3, 0)]);
    });
    with_checkpoints("another job", folder.path(), |checkpoints| {
        assert_eq!(checkpoints.positions(), [])
    });
}

#[test]
fn a_damaged_file_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    with_checkpoints("a job", folder.path(), |checkpoints| {
        checkpoints.save(at(1, 50), parts("fifty")).unwrap();
        checkpoints.flush().unwrap();
        let path = checkpoints.path(at(1, 50));
        let whole = fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "{cut}");
            let mut flipped = whole.clone();
            flipped[cut] ^= 1;
            assert!(decode(&flipped).is_err(), "{cut}");
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        fs::write(path.with_file_name("notes.txt"), "").unwrap();
        assert_eq!(checkpoints.positions(), []);
    });
}

/// A header that claims more than there is, under a right digest.
#[test]
fn lengths_that_lie_are_refused() {
    let header = |parts: Vec<(String, usize)>| {
        let header = Header {
            job: String::new(),
            position: at(1, 1),
            figures: Figures::default(),
            parts,
        };
        serde_json::to_vec(&header).unwrap()
    };
    for (length, header) in [
        (None, header(vec![("a".into(), usize::MAX)])),
        (None, header(vec![("a".into(), 1)])),
        (Some(u32::MAX), header(Vec::new())),
        (None, b"{}".to_vec()),
    ] {
        let length = length.unwrap_or(header.len() as u32);
        let mut bytes = [MAGIC, &length.to_le_bytes(), &header].concat();
        bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
        assert!(decode(&bytes).is_err());
    }
}

/// Checkpoints of earlier versions load: the bytes of version 1, as they were first written.
#[test]
fn a_checkpoint_of_the_first_version_loads() {
    let header = br#"{"job":"a job","position":{"epoch":3,"batch":7},"figures":{"training_seconds":1.5,"training":{"sent":1,"received":2},"evaluating":{"sent":3,"received":4},"evaluation":null,"subsets":{},"phase_seconds":0.25,"phase":{"sent":5,"received":6},"earlier":{"sent":7,"received":8}},"parts":[["front",3]]}"#;
    let mut bytes = [MAGIC, &(header.len() as u32).to_le_bytes(), &header[..], b"abc"].concat();
    bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
    let (header, parts) = decode(&bytes).unwrap();
    assert_eq!((header.position, header.figures.training_seconds), (at(3, 7), 1.5));
    assert_eq!(parts["front"], b"abc");
}

#[test]
fn the_secret_is_kept_until_the_run_is_finished() {
    let run = tempfile::tempdir().unwrap();
    let party = "hospital".parse().unwrap();
    assert_eq!(*secret(run.path(), &party, Zeroizing::new([1; 32])).unwrap(), [1; 32]);
    assert_eq!(*secret(run.path(), &party, Zeroizing::new([2; 32])).unwrap(), [1; 32]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(folder(run.path(), &party).join("secret"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    clear(run.path(), &party).unwrap();
    clear(run.path(), &party).unwrap();
    assert!(!run.path().join("resume").exists());
    assert_eq!(*secret(run.path(), &party, Zeroizing::new([2; 32])).unwrap(), [2; 32]);
}
