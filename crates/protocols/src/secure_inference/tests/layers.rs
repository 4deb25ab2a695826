//! Bytes by layer.

use super::*;

#[tokio::test]
async fn bytes_of_layers_add_up_to_all_that_servers_sent_for_inferences() {
    for (engine, output) in [(Engine::Boolean, Output::ArgMax), (Engine::Garbled, Output::Scores)] {
        let setting = Setting::new(2, engine, output);
        let x = setting.inputs(2);
        setting.run(1, std::slice::from_ref(&x)).await.unwrap();
        let layers = setting.layers.borrow();
        let all = [
            layers.iter().map(|layer| layer.preparing).sum::<u64>(),
            layers.iter().map(|layer| layer.answering).sum(),
        ];
        assert_eq!(all, setting.sent.get(), "{layers:?}");
        let of = |name: &str| {
            let named = layers.iter().filter(|layer| layer.layer == name);
            named.fold([0, 0], |sum, layer| [sum[0] + layer.preparing, sum[1] + layer.answering])
        };
        // Products have no message on inputs; an activation has in both phases.
        let ([product, on_input], [prepared, run]) = (of("9"), of("8"));
        assert!(product > 0 && on_input == 0 && prepared > 0 && run > 0, "{layers:?}");
        assert!(of("3.body.0")[0] > 0, "{layers:?}");
        assert_eq!(of("arg-max")[1] > 0, output == Output::ArgMax);
        assert!(of("input and output").iter().all(|bytes| *bytes > 0));
    }
}
