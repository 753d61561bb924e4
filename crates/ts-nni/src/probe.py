"""Looks at the installed NNI: its version, and whether the algorithms of an experiment are there and take their arguments.

Reads a JSON list of algorithms from standard input and writes one JSON object behind a marker, because packages print.
Creates no algorithm: some connect to a manager, others take long.
"""
import importlib
import inspect
import json
import sys

LONG = {'Batch': 'BatchTuner', 'Metis': 'MetisTuner', 'GP': 'GPTuner', 'PBT': 'PBTTuner', 'PPO': 'PPOTuner'}
MARK = '\n--ts-nni--'


def class_of(algorithm, kind):
    """The class, its description by NNI, and its validator's class or None."""
    name = algorithm.get('name')
    if name is None:
        sys.path.insert(0, algorithm['codeDirectory'])
        module, _, cls = algorithm['className'].rpartition('.')
        if not module:
            raise LookupError('the class name has no module: write `module.Class`')
        return getattr(importlib.import_module(module), cls), {}, None
    try:
        from nni.tools.package_utils import config_manager
        meta = config_manager.get_algo_meta(name)
        meta = meta and meta.dump()
    except ImportError:
        meta = older(name, kind)
    if meta is None:
        raise LookupError('NNI knows no %s of this name' % kind)

    def load(path):
        module, _, cls = path.rpartition('.')
        return getattr(importlib.import_module(module), cls)

    validator = meta.get('classArgsValidator')
    try:
        found = load(meta['className'])
    except ImportError as error:
        raise ImportError('a package that it needs is missing: %s' % error, name=error.name)
    return found, meta, load(validator) if validator else None


def older(name, kind):
    """Before nni v2.6: other modules, and in v1.9 other words in the description."""
    try:
        from nni.package_utils import get_builtin_algo_meta, get_installed_package_meta
    except ImportError:
        from nni.tools.package_utils import get_registered_algo_meta
        return get_registered_algo_meta(name, kind + 's')
    found = get_builtin_algo_meta(kind + 's', LONG.get(name, name)) or get_installed_package_meta(kind + 's', name)
    if not found:
        return None
    words = {'class_name': 'className', 'class_args': 'classArgs', 'class_args_validator': 'classArgsValidator',
             'accept_class_args': 'acceptClassArgs'}
    return {words.get(key, key): value for key, value in found.items()}


def check(algorithm):
    kind = algorithm['kind']
    try:
        cls, meta, validator = class_of(algorithm, kind)
    except Exception as error:
        return {'at': 'class', 'message': '%s: %s' % (type(error).__name__, error), 'missing': missing(error)}
    arguments = algorithm['classArgs']
    given = dict(meta.get('classArgs') or {}, **arguments)
    try:
        inspect.signature(cls).bind(**given)
        if arguments:
            validate(meta, validator and validator(), arguments)
    except Exception as error:
        return {'at': 'classArgs', 'message': str(error) or type(error).__name__}
    return None


def missing(error):
    """The package whose module could not be imported, if that is what happened."""
    name = getattr(error, 'name', None) if isinstance(error, ImportError) else None
    return name and name.partition('.')[0]


def validate(meta, validator, arguments):
    """Refuses what NNI refuses.

    nnictl v1.9 asks the description and the validator (`nni_cmd/config_schema.py`). Later releases do not, for files of the second
    schema: some validators lack arguments that the constructor has (PBT's `factor`), or take no whole number for a fraction. There
    only words that are none of a fixed choice count, which the constructors refuse too.
    """
    import nni
    is_first = nni.__version__.startswith('1.')
    if is_first and meta.get('acceptClassArgs') is False:
        raise TypeError('it takes no arguments')
    if validator is None:
        return
    if is_first:
        validator.validate_class_args(**arguments)
        return
    wrong = []

    def choices(key, *allowed):
        if key in arguments and arguments[key] not in allowed:
            wrong.append('`%s` is %r and should be one of %s' % (key, arguments[key], ', '.join(map(str, allowed))))
        return object

    validator.choices = choices
    try:
        validator.validate_class_args(**arguments)
    except Exception:
        pass
    if wrong:
        raise ValueError(wrong[0])


def main():
    answer = {}
    try:
        import nni
        answer['version'] = nni.__version__
    except ImportError as error:
        answer['missing'] = str(error)
    else:
        answer['problems'] = [check(algorithm) for algorithm in json.load(sys.stdin)]
    sys.stdout.write(MARK + json.dumps(answer) + '\n')


main()
