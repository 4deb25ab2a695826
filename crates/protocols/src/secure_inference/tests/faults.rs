//! Users who send what they should not, and servers with shares that do not fit.

use super::*;

/// Three servers, and one user who may have sent anything; what the user got, and how the gateway's script ended.
async fn answered(setting: &Setting, tamper: impl Fn(&mut Vec<u8>)) -> (Result<Vec<u64>, cloven_wire::DecodeError>, bool) {
    let mut links: Vec<Vec<Link<_>>> = (0..3).map(|_| Vec::new()).collect();
    for [a, b] in [[0, 1], [0, 2], [1, 2]] {
        let (first, second) = memory::pair(setting.identities[a].party.clone(), setting.identities[b].party.clone());
        links[a].push(Link::new(first));
        links[b].push(Link::new(second));
    }
    let [mut gate, mut east, mut west]: [Vec<Link<_>>; 3] = links.try_into().ok().unwrap();
    let (mut desk, mut requests) = desk();
    let (mut first, mut second, mut third, mut fourth) = (ignore(), ignore(), ignore(), ignore());
    let terms = &setting.terms;
    let work = Work {
        pool: 0,
        open_when_full: false,
        inferences: Some(2),
    };
    let servers = async {
        tokio::try_join!(
            gateway(setting.server(0), terms, work, &mut gate, &mut requests, &mut first),
            remote(setting.server(1), terms, &mut east, &mut second),
            remote(setting.server(2), terms, &mut west, &mut third),
        )
    };
    let (at_user, at_gateway) = memory::pair(party("alice"), party("gate"));
    let (mut near, mut far) = (Link::new(at_user), Link::new(at_gateway));
    let user = async {
        let rng = &mut ChaCha20Rng::from_seed([5; 32]);
        let ServerKeys(keys) = near.receive(0, &2).await.unwrap();
        let keys = boxes::check_keys(terms, &keys, &setting.roster).unwrap();
        near.send(0, &crate::Ask { rows: 2 }).await.unwrap();
        let (reply, mut message) = boxes::put_input(terms, &keys, &[1, 2, 3, 4], rng).unwrap();
        tamper(&mut message);
        near.send(1, &SealedInput(message)).await.unwrap();
        let SealedOutput(answer) = near.receive(1, &boxes::output_len(terms)).await.unwrap();
        let first = boxes::open_output(terms, &reply, &answer);
        // The service goes on.
        let (reply, message) = boxes::put_input(terms, &keys, &[1, 2, 3, 4], rng).unwrap();
        near.send(2, &SealedInput(message)).await.unwrap();
        let SealedOutput(answer) = near.receive(2, &boxes::output_len(terms)).await.unwrap();
        let expected = setting.model.evaluate(&[1, 2, 3, 4]).unwrap();
        let expected: Vec<u64> = expected.iter().map(|word| *word as u64 & words::mask(RING_BITS)).collect();
        (first, boxes::open_output(terms, &reply, &answer).unwrap() == expected)
    };
    let (outcome, served, answers) = tokio::join!(servers, desk.serve(terms, None, &mut far, &mut fourth), user);
    outcome.unwrap();
    served.unwrap();
    answers
}

#[tokio::test]
async fn a_box_that_no_server_can_open_gives_an_answer_that_its_user_cannot_and_disturbs_nobody() {
    let setting = Setting::small(Engine::Boolean);
    let (untouched, after) = answered(&setting, |_| ()).await;
    assert!(untouched.is_ok() && after);
    let (spoilt, after) = answered(&setting, |message| *message.last_mut().unwrap() ^= 1).await;
    assert!(spoilt.is_err() && after, "{spoilt:?}");
}

#[tokio::test]
async fn shares_of_two_sharings_or_of_another_place_do_not_meet() {
    let mut setting = Setting::small(Engine::Boolean);
    let other = Setting::small(Engine::Boolean);
    let other = other.model.share(3, &mut ChaCha20Rng::from_seed([2; 32])).unwrap();
    let mine = std::mem::replace(&mut setting.shares, other);
    let mut mixed: Vec<_> = mine.into_iter().take(2).collect();
    mixed.extend(setting.shares.drain(..).skip(2));
    setting.shares = mixed;
    let x = setting.inputs(1);
    let error = setting.run(0, std::slice::from_ref(&x)).await.unwrap_err().to_string();
    assert!(error.contains("shares of"), "{error}");
    setting.shares.swap(0, 1);
    let error = setting.run(0, &[x]).await.unwrap_err().to_string();
    assert!(error.contains("share of server"), "{error}");
}

#[tokio::test]
async fn a_key_that_its_server_did_not_sign_is_refused_by_the_user() {
    let setting = Setting::small(Engine::Boolean);
    let rng = &mut ChaCha20Rng::from_seed([6; 32]);
    let key = seal::BoxKey::generate(rng);
    // The gateway signs for another server.
    let signed = key.signed(setting.terms.job, &setting.identities[0]).unwrap();
    let error = boxes::check_keys(&setting.terms, &[signed.clone(), signed], &setting.roster).unwrap_err();
    assert!(error.to_string().contains("key of east"), "{error}");
}
