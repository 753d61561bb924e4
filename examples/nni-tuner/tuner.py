"""Steps from the best point so far."""
import random

from nni.tuner import Tuner


class HillClimber(Tuner):
    def __init__(self, step):
        self.step = step
        self.best = None

    def update_search_space(self, search_space):
        self.low, self.high = search_space['x']['_value']

    def generate_parameters(self, parameter_id, **kwargs):
        if self.best is None:
            return {'x': random.uniform(self.low, self.high)}
        x = self.best[1] + random.gauss(0, self.step)
        return {'x': min(self.high, max(self.low, x))}

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        self.best = max(self.best or (value, parameters['x']), (value, parameters['x']))

    def import_data(self, data):
        for entry in data:
            self.receive_trial_result(None, entry['parameter'], entry['value'])
