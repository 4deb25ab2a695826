//! Round trips, damage, other jobs.

use super::*;

fn job(seed: u64) -> Job {
    let text = crate::init::template("digits", Some(crate::Protocol::EncryptedModel)).unwrap();
    Job::parse(&text, "test", &[("seed".to_owned(), toml::Value::Integer(seed as i64))]).unwrap()
}

#[test]
fn a_layer_is_read_back_and_damage_and_other_jobs_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (path, job, other) = (folder.path().join("layer"), job(1), job(2));
    let encryption = job.layer_encryption().unwrap();
    let layer = HeldLayers {
        key: Fingerprint([7; Fingerprint::LEN]),
        weights: vec![(0..encryption.held_len()).map(|i| i as u8).collect()],
    };
    write(&path, &job, &layer).unwrap();
    let back = read(&path, &job).unwrap();
    assert_eq!((back.key, back.weights), (layer.key, layer.weights));
    assert!(matches!(read(&path, &other), Err(Error::OtherJob { .. })));

    let bytes = std::fs::read(&path).unwrap();
    for at in [0, 20, 50, 1000, bytes.len() - 1] {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        std::fs::write(&path, bad).unwrap();
        let error = read(&path, &job).err().unwrap().to_string();
        assert!(error.contains("damaged"), "{at}: {error}");
    }
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let error = read(&path, &job).err().unwrap().to_string();
    assert!(error.contains("expected") && error.contains("got"), "{error}");
}

#[test]
fn a_key_is_read_back_bit_for_bit_and_only_by_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (path, job, other) = (folder.path().join("key"), job(1), job(2));
    let kept = KeptKey {
        secret: Zeroizing::new([5; 32]),
        factor: 0.1 + 0.2,
    };
    kept.write(&path, &job).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let back = KeptKey::read(&path, &job).unwrap();
    assert_eq!((*back.secret, back.factor), (*kept.secret, kept.factor));
    assert!(matches!(KeptKey::read(&path, &other), Err(Error::OtherJob { .. })));
    let text = std::fs::read_to_string(&path).unwrap().replace("0505", "0605");
    std::fs::write(&path, text).unwrap();
    let error = KeptKey::read(&path, &job).err().unwrap().to_string();
    assert!(error.contains("damaged"), "{error}");
}
