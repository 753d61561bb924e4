"""A tuner of one's own that writes down what it sends and is told, and crashes if it is asked to."""
import json
import os

from nni.tuner import Tuner


class Noting(Tuner):
    def __init__(self, crash_at=None, no_more_at=None):
        self.crash_at = crash_at
        self.no_more_at = no_more_at
        self.sent = {}
        self.made = 0
        self.ended = set()
        self.notes = open(os.path.join(os.environ['NNI_LOG_DIRECTORY'], 'sent.jsonl'), 'a')
        self.told = open(os.path.join(os.environ['NNI_LOG_DIRECTORY'], 'told.jsonl'), 'a')

    def update_search_space(self, search_space):
        assert search_space['x']['_type'] == 'uniform', search_space

    def generate_parameters(self, parameter_id, **kwargs):
        if self.made == self.no_more_at:
            import nni
            raise nni.NoMoreTrialError('enough')
        self.made += 1
        if self.made == self.crash_at:
            raise ValueError('as it was asked to')
        self.sent[parameter_id] = {'x': 1 / (self.made + 1)}
        self.notes.write(json.dumps({'id': parameter_id, 'parameters': self.sent[parameter_id]}) + '\n')
        self.notes.flush()
        return self.sent[parameter_id]

    def receive_trial_result(self, parameter_id, parameters, value, **kwargs):
        # A result that comes behind the end of its trial, or with another's parameters, is a crash.
        assert parameter_id not in self.ended, parameter_id
        assert self.sent[parameter_id] == parameters and value == parameters['x'], (parameters, value)
        self.told.write(json.dumps({'id': parameter_id, 'parameters': parameters}) + '\n')
        self.told.flush()

    def trial_end(self, parameter_id, success, **kwargs):
        self.ended.add(parameter_id)

    def import_data(self, data):
        for entry in data:
            assert entry['value'] == entry['parameter']['x'], entry
