//! Too few workers; enclaves that are not what the customer wants.

use super::*;

#[tokio::test]
async fn too_few_workers_are_refused() {
    let setting = Setting::new(Blinding::Masked, 2);
    let work = async |_, link: &mut MemoryLink| worker(Worker::new(Limits::default()), link, &mut ignore()).await;
    let error = setting.run(work).await.0.err().unwrap();
    assert!(error.to_string().contains("needs 3 workers, the job has 2"), "{error}");
}

/// What the customer says to an enclave with this attester, and what it had sent by then.
async fn refused(policy: &Policy, attester: &Attester, sessions: [[u8; 32]; 2]) -> (String, u64) {
    let setting = Setting::new(Blinding::None, 1);
    let (near, far) = memory::pair(party("clinic"), party("vault"));
    let (mut near, mut far) = (
        Link::new(near.with_session(sessions[0])),
        Link::new(far.with_session(sessions[1])),
    );
    let own = setting.identity.certificate.clone();
    let (result, _) = tokio::join!(setting.customer(policy, &mut near), async {
        let given = attestation::give(attester, own.as_der(), &mut far).await;
        // The customer leaves.
        drop(far);
        given
    });
    (result.err().unwrap().to_string(), near.traffic().sent)
}

#[tokio::test]
async fn nothing_but_a_nonce_leaves_a_customer_that_does_not_accept_the_enclave() {
    let simulated = |measurement, debug| {
        Attester::Simulated(Simulated {
            measurement: Digest(measurement),
            debug,
        })
    };
    let same = [[1; 32]; 2];
    for (attester, sessions, expected) in [
        (simulated([8; 48], false), same, "measurement"),
        (simulated(MEASUREMENT, true), same, "debug"),
        // Evidence of another session, as somebody in between would relay it.
        (simulated(MEASUREMENT, false), [[1; 32], [2; 32]], "report data"),
    ] {
        let (error, sent) = refused(&policy(), &attester, sessions).await;
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(sent < 100, "{expected}: {sent} bytes");
    }
}
