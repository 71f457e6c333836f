//! Files of images to pixels, at full and at smaller scale.
//!
//! A decoder's panic costs its request alone and is caught here as it is there; what must not happen is an end
//! of the process, a hang, or memory without a bound.
#![no_main]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use onnxd::tasks::image::{ImageLimits, decode};

static QUIET: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    for reduction in [1.0, 8.0] {
        let limits = ImageLimits::default();
        let _ = catch_unwind(AssertUnwindSafe(|| decode(data, &limits, |_, _| reduction).is_ok()));
    }
});
