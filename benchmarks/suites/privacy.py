"""The accountant: seconds for one epsilon."""


class Accountant:
    """DP-SGD at a noise multiplier of 1 and a sampling rate of 1 %."""

    params = ([1, 1000, 10000],)
    param_names = ("steps",)

    def setup(self, steps):
        try:
            from medcrypt import dp

            accountant = dp.Accountant(neighbors="add_or_remove_one")
            accountant.compose(dp.PoissonSampled(0.01, dp.Gaussian(noise_multiplier=1.0)), count=steps)
        except (ImportError, AttributeError) as missing:
            raise NotImplementedError from missing
        self.accountant = accountant

    def time_epsilon(self, steps):
        self.accountant.epsilon(delta=1e-5)

    def time_delta(self, steps):
        self.accountant.delta(epsilon=1.0)
