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
