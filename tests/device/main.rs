//! The operations of `kernels` on a GPU beside the CPU, and training there. One suite for every
//! kind of GPU; a kind that this build lacks is left out by name, and `make test` lists it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod compare;
mod dense;
mod optimizers;
mod sequences;
mod training;

/// The tests of the suite, for one kind of device. They compile everywhere; `$unless` says where
/// they can run.
macro_rules! suite {
    ($marker:ident, $kind:ident, $unless:meta, $reason:literal) => {
        mod $marker {
            use attune_engine::GpuBackendKind;

            suite! { @compare $kind, $unless, $reason;
                dense::products,
                dense::products_of_stored_weights,
                dense::products_added,
                dense::products_in_bf16,
                dense::sums_and_factors,
                dense::biases,
                dense::norms,
                dense::gates,
                dense::dora,
                sequences::rotations,
                sequences::attention,
                sequences::attention_with_a_window_and_a_cap,
                sequences::attention_with_a_cache,
                sequences::cross_entropy,
                sequences::cross_entropy_with_a_cap,
                sequences::embeddings,
                sequences::rows_of_experts,
                sequences::noise,
                optimizers::adamw_steps,
                optimizers::adamw8bit_steps,
                optimizers::masters_of_bf16,
                optimizers::lion_steps,
                optimizers::sgd_steps,
                optimizers::adafactor_steps,
            }

            suite! { @run $kind, $unless, $reason;
                training::the_check_agrees,
                training::threads_share_it,
                training::a_dispatch_takes_the_time_asked_for,
                training::the_starter_model_learns_as_on_the_processor,
                training::all_of_it_learns_in_few_bits,
            }
        }
    };
    (@compare $kind:ident, $unless:meta, $reason:literal; $($module:ident::$case:ident),+ $(,)?) => {
        $(
            #[test]
            #[cfg_attr(not($unless), ignore = $reason)]
            fn $case() {
                crate::compare::compare(GpuBackendKind::$kind, crate::$module::$case);
            }
        )+
    };
    (@run $kind:ident, $unless:meta, $reason:literal; $($module:ident::$case:ident),+ $(,)?) => {
        $(
            #[test]
            #[cfg_attr(not($unless), ignore = $reason)]
            fn $case() {
                crate::$module::$case(&GpuBackendKind::$kind.open().unwrap());
            }
        )+
    };
}

suite!(
    requires_cuda,
    Cuda,
    feature = "cuda",
    "requires an NVIDIA GPU and the feature `cuda`"
);
suite!(
    requires_metal,
    Metal,
    all(target_os = "macos", target_arch = "aarch64"),
    "requires a Mac with Apple Silicon"
);

/// The suite beside itself: that its shapes fit, so that a GPU is not the first to meet its
/// mistakes. That the CPU is right is for the tests of `kernels` to say.
mod processor {
    use attune_engine::GpuBackendKind;

    suite! { @compare Cpu, all(), "";
        dense::products,
        dense::products_of_stored_weights,
        dense::products_added,
        dense::products_in_bf16,
        dense::sums_and_factors,
        dense::biases,
        dense::norms,
        dense::gates,
        dense::dora,
        sequences::rotations,
        sequences::attention,
        sequences::attention_with_a_window_and_a_cap,
        sequences::attention_with_a_cache,
        sequences::cross_entropy,
        sequences::cross_entropy_with_a_cap,
        sequences::embeddings,
        sequences::rows_of_experts,
        sequences::noise,
        optimizers::adamw_steps,
        optimizers::adamw8bit_steps,
        optimizers::masters_of_bf16,
        optimizers::lion_steps,
        optimizers::sgd_steps,
        optimizers::adafactor_steps,
    }

    suite! { @run Cpu, all(), "";
        training::all_of_it_learns_in_few_bits,
    }
}

/// What a person sees of a GPU, whichever it is.
mod requires_gpu {
    use attune_studio::Studio;
    use attune_studio::api::{Control, DoctorRequest, GpuBackendKind, Session, doctor};

    #[test]
    #[cfg_attr(
        not(any(feature = "cuda", all(target_os = "macos", target_arch = "aarch64"))),
        ignore = "requires a GPU and a build for it"
    )]
    fn the_doctor_chooses_it_and_checks_it() {
        let home = tempfile::tempdir().unwrap();
        let studio = Studio::open_at(home.path());
        let control = Control::default();
        let mut ignore = |_| {};
        let mut session = Session::new(&mut ignore, &control);
        let report = doctor(&studio, DoctorRequest { check: true }, &mut session).unwrap();
        assert_ne!(report.gpu_backend.kind, GpuBackendKind::Cpu, "{report:?}");
        assert_eq!(report.checks.len(), 2);
        for check in report.checks {
            assert!(
                check.result.as_ref().is_some_and(|result| result.agrees),
                "{check:?}"
            );
        }
    }
}
