//! How far an image that was decoded at a smaller scale moves the answer from the full-size decode's,
//! whose pixels are Pillow's: by how many times more pixels a side were left than needed.
//! `cargo bench --bench agreement FOLDER` takes the JPEGs in a folder of photos.

mod support;

use std::path::PathBuf;

use onnxd::tasks::image::{DecodedImage, ImageLimits, decode};
use onnxd::tensor::Tensor;
use support::{Bench, ImageSteps, root};

/// A class that leads by less has no certain top-1.
const COIN_TOSS: f32 = 0.03;
/// The eighths that `decode` chooses from.
const SCALES: [f64; 4] = [1.0, 2.0, 3.0, 4.0];
/// Bounds of the table's rows.
const MARGINS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

#[derive(Default, Clone)]
struct Row {
    photos: usize,
    other: usize,
    certain_other: usize,
    differences: Vec<f32>,
}

fn probabilities(steps: &mut ImageSteps, image: &DecodedImage) -> Vec<f32> {
    let tensors = steps.resize(image);
    let outputs = steps.run(&tensors);
    let Tensor::F32(scores) = &outputs.0[0].1 else { panic!("scores are floats") };
    let sum: f32 = scores.iter().sum();
    if (sum - 1.0).abs() < 1e-2 {
        return scores.iter().copied().collect();
    }
    let most = scores.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - most).exp()).sum();
    scores.iter().map(|score| (score - most).exp() / sum).collect()
}

fn best(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap()
}

fn main() {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-')).map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| root().join("tests/fixtures/images"));
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    let bench = Bench::load(&support::runtime(), "efficientnet-lite0", |_| {});
    for network in ["model.onnx", "model.int8.onnx"] {
        let mut steps =
            ImageSteps::of(bench.session_of(&bench.folder.join(network), 1), &bench.folder);
        println!("\n{network}, {} photos\n", paths.len());
        println!(
            "| times more pixels a side | photos | another best class | of them sure | median Δp | largest Δp |"
        );
        println!("|---|---|---|---|---|---|");
        for (index, row) in rows(&mut steps, &paths).into_iter().enumerate() {
            let [low, high] = [index, index + 1].map(|index| MARGINS.get(index));
            let bounds = format!("{} to {}", low.unwrap(), high.map_or("…".into(), f64::to_string));
            let Row { photos, other, certain_other, mut differences } = row;
            differences.sort_by(f32::total_cmp);
            let Some(most) = differences.last() else { continue };
            let median = differences[differences.len() / 2];
            println!(
                "| {bounds} | {photos} | {other} | {certain_other} | {median:.4} | {most:.4} |"
            );
        }
    }
}

fn rows(steps: &mut ImageSteps, paths: &[PathBuf]) -> Vec<Row> {
    let mut rows = vec![Row::default(); MARGINS.len()];
    let limits = ImageLimits::default();
    for path in paths {
        let file = std::fs::read(path).unwrap();
        let Ok(image) = decode(&file, &limits, |_, _| 1.0) else { continue };
        let reduction = steps.preprocessing.reduction(image.width, image.height);
        let expected = probabilities(steps, &image);
        let mut order: Vec<f32> = expected.clone();
        order.sort_by(|a, b| b.total_cmp(a));
        for scale in SCALES {
            let margin = reduction * scale / 8.0;
            let Some(row) = MARGINS.iter().rposition(|&least| margin >= least) else { continue };
            let image = decode(&file, &limits, move |_, _| 32.0 / scale).unwrap();
            let got = probabilities(steps, &image);
            let row = &mut rows[row];
            row.photos += 1;
            let other = best(&got) != best(&expected);
            row.other += usize::from(other);
            row.certain_other += usize::from(other && order[0] - order[1] >= COIN_TOSS);
            let difference = got.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            let difference = difference.fold(0.0, f32::max);
            if difference > 0.01 {
                eprintln!("{}: {scale}/8, {margin:.2}: {difference:.4}", path.display());
            }
            row.differences.push(difference);
        }
    }
    rows
}
