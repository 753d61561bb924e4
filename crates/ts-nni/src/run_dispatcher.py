import base64
import json
import runpy
import sys

try:
    from nni.recoverable import Recoverable
    # Advisors have ids that are texts, which nni v2.10 and v3.0 compare with a number: https://github.com/microsoft/nni/issues/5263
    Recoverable.is_created_in_previous_exp = lambda self, at: isinstance(at, int) and at <= self.recovered_max_param_id
except (ImportError, AttributeError):
    pass


def mend_gp():
    """Lets GP do with SciPy since 1.8, whose `minimize` takes a plain vector and returns a plain number.

    Source: https://github.com/microsoft/nni/issues/4978, https://github.com/microsoft/nni/pull/5779
    """
    import numpy
    try:
        from nni.algorithms.hpo.gp_tuner import util
    except ImportError:
        from nni.gp_tuner import util
    minimize = util.minimize

    def mended(function, start, **options):
        found = minimize(function, start.ravel(), **options)
        found.fun = numpy.atleast_1d(found.fun)
        return found
    util.minimize = mended


tuner = json.loads(base64.b64decode(sys.argv[sys.argv.index('--exp_params') + 1])).get('tuner') or {}
if str(tuner.get('name') or tuner.get('builtinTunerName')).lower() in ('gp', 'gptuner'):
    mend_gp()
runpy.run_module('nni', run_name='__main__', alter_sys=True)
