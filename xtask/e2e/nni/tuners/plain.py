"""Reports the parameter `x` as its result without an SDK, whose import takes longer than all the rest, and carries a model on.

The model is a file that counts the trials that its weights went through, as PBT has them copied.
"""
import json
import os

here = os.environ['NNI_SYS_DIR']
with open(os.path.join(here, 'parameter.cfg')) as file:
    packed = json.load(file)
parameters = packed['parameters']


def report(kind, sequence, value):
    data = json.dumps({'parameter_id': packed['parameter_id'], 'trial_job_id': os.environ['NNI_TRIAL_JOB_ID'], 'type': kind,
                       'sequence': sequence, 'value': json.dumps(value)}) + '\n'
    with open(os.path.join(here, '.nni', 'metrics'), 'ab') as metrics:
        metrics.write(b'ME%06d%b' % (len(data), data.encode()))


if 'save_checkpoint_dir' in parameters:
    age = 0
    if not parameters['save_checkpoint_dir'].endswith('/0'):
        with open(os.path.join(parameters['load_checkpoint_dir'], 'model')) as model:
            age = int(model.read())
    os.makedirs(parameters['save_checkpoint_dir'], exist_ok=True)
    with open(os.path.join(parameters['save_checkpoint_dir'], 'model'), 'w') as model:
        model.write(str(age + 1))
for step in range(int(parameters.get('TRIAL_BUDGET', 4))):
    report('PERIODICAL', step, parameters['x'] * (1 - 0.5 ** (step + 1)))
report('FINAL', 0, parameters['x'])
