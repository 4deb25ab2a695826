//! How long one collective key serves.

use super::*;

#[tokio::test]
async fn servers_make_another_key_before_one_has_revealed_too_much() {
    for (pool, engine) in [(0, Engine::Boolean), (3, Engine::Boolean), (1, Engine::Garbled)] {
        let mut setting = Setting::small(engine);
        // An inference reveals the outputs of both layers, 3 and 2 numbers: a key serves for two.
        setting.terms.revealed = 14;
        let all = setting.inputs(5);
        let users = [0..3, 3..5].map(|rows| all.slice_axis(ndarray::Axis(0), ndarray::Slice::from(rows)).to_owned());
        let answers = setting.run(pool, &users).await.unwrap();
        assert_eq!(answers.concat(), setting.expected(&all), "a pool of {pool}");
        assert_eq!(setting.met.get(), 3, "a pool of {pool}");
    }
}

#[tokio::test]
async fn a_gateway_that_goes_on_with_a_key_is_refused() {
    let mut setting = Setting::small(Engine::Boolean);
    (setting.terms.revealed, setting.lax) = (14, Some(15));
    let error = setting.run(0, &[setting.inputs(3)]).await.unwrap_err().to_string();
    for part in ["gate", "command", "expected", "after 2 inferences", "got"] {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
    setting.terms.revealed = 4;
    let error = setting.run(0, &[setting.inputs(1)]).await.unwrap_err().to_string();
    assert!(error.contains("decrypts 5 numbers"), "{error}");
}
