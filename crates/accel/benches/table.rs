//! wip
use cloven_accel::*;
use std::time::Instant;
fn time(mut f: impl FnMut()) -> f64 {
    f();
    let mut v: Vec<f64> = (0..7)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .collect();
    v.sort_by(f64::total_cmp);
    v[3]
}
fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        for (name, b, m, k, n) in [
            ("conv 64", 1, 8192, 576, 64),
            ("conv 512", 1, 8 * 16, 4608, 512),
            ("vit qkv", 1, 64 * 65, 192, 576),
            ("vit mlp", 1, 64 * 65, 192, 768),
            ("attention", 64 * 3, 65, 64, 65),
        ] {
            for kind in Kind::ALL {
                let shapes = match kind {
                    Kind::Forward => [[m, k], [k, n]],
                    Kind::WeightGradient => [[m, k], [m, n]],
                    Kind::InputGradient => [[m, n], [k, n]],
                }
                .map(|[r, c]| Shape::new(b, r, c).unwrap());
                let [x, y] = shapes.map(|s| {
                    Residues::of_integers(s, &(0..s.elements() as i32).map(|i| i % 9973 - 5000).collect::<Vec<_>>()).unwrap()
                });
                let [fx, fy] = shapes.map(|s| {
                    Matrices::new(
                        s,
                        (0..s.elements()).map(|i| (i % 9973) as f32 / 1e4 - 0.5).collect::<Vec<f32>>(),
                    )
                    .unwrap()
                });
                let macs = (b * m * k * n) as f64;
                let f = time(|| {
                    std::hint::black_box(float_products(kind, &fx, &fy).unwrap());
                });
                print!("{name:10} {kind:?}: f32 {:.1} GMAC/s", macs / f / 1e9);
                for backend in &Backend::available()[1..] {
                    let i = time(|| {
                        std::hint::black_box(residue_products_on(*backend, kind, &x, &y).unwrap());
                    });
                    print!(
                        "; {} 4 primes {:.2} GMAC/s (int8 {:.0}), 3 workers / f32 = {:.2}",
                        backend.name(),
                        macs / i / 1e9,
                        4.0 * macs / i / 1e9,
                        3.0 * i / f
                    );
                }
                println!();
            }
        }
    });
}
