"""The accountant: seconds for one epsilon."""


class Accountant:
    """DP-SGD at a noise multiplier of 1 and a sampling rate of 1 %."""

    params = ([1, 1000, 10000],)
    param_names = ("steps",)

    def setup(self, steps):
        try:
            from medcrypt import dp

            self.step = dp.PoissonSampled(0.01, dp.Gaussian(noise_multiplier=1.0))
        except (ImportError, AttributeError) as missing:
            raise NotImplementedError from missing
        self.new = lambda: dp.Accountant(neighbors="add_or_remove_one").compose(self.step, count=steps)
        self.running = self.new()
        self.running.epsilon(delta=1e-5)

    def time_epsilon(self, steps):
        self.new().epsilon(delta=1e-5)

    def time_delta(self, steps):
        self.new().delta(epsilon=1.0)

    def time_epsilon_after_one_more_step(self, steps):
        self.running.compose(self.step).epsilon(delta=1e-5)


class PrivateStep:
    """A step of DP-SGD for one dense layer of 64 by 64, after back-propagation."""

    params = ([32, 256, 2048],)
    param_names = ("batch",)

    def setup(self, batch):
        import numpy as np

        try:
            from medcrypt import dp

            sampler = dp.sgd.PoissonSampler(100_000, batch / 100_000)
            self.private = dp.sgd.PrivateGradient(
                sampler, clip=1.0, noise_multiplier=1.0, expected_batch_size=batch
            )
            rng = np.random.default_rng(0)
            self.layer = dp.sgd.Dense(rng.normal(size=(batch, 64)), rng.normal(size=(batch, 64)))
        except (ImportError, AttributeError, TypeError) as missing:
            raise NotImplementedError from missing

    def time_step(self, batch):
        self.private.step([self.layer])


class Mechanisms:
    """A release of a clipped sum of a thousand records."""

    params = (["GaussianMechanism", "LaplaceMechanism", "SkellamMechanism"], [1, 1000])
    param_names = ("mechanism", "dimension")

    def setup(self, mechanism, dimension):
        import numpy as np

        try:
            from medcrypt import dp

            self.mechanism = getattr(dp, mechanism)(1.0, clip=1.0, shape=dimension)
        except (ImportError, AttributeError) as missing:
            raise NotImplementedError from missing
        self.records = np.random.default_rng(0).normal(size=(1000, dimension))
        self.mechanism.release(self.records)  # makes the tables of the noise

    def time_release(self, mechanism, dimension):
        self.mechanism.release(self.records)
